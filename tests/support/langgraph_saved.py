"""What a graph of LangGraph has saved, by its own SQLite saver, and what its history is, as JSON.

Made by LangGraph 1.2 and langgraph-checkpoint-sqlite 3.1: a graph of four nodes, of which one asks for approval of
``deploy``, and the last takes the first message away again.
"""

from __future__ import annotations

import base64
import json
import zlib
from pathlib import Path
from typing import Any

__all__ = ("history", "write_database")

_DATABASE = (
    r"c-rk;U2NP~74}SKl1%=l`+%w{sxT?gEgO$~?d!krP+A%wBD-Bms@=X|?%3Cf>HMwjNw+G6Cg~3=glKoW5)y)iZkjgGcDwL^ga8$-"
    r"(7u6q%mWfnNQgf0v_fK6;@Zy7%s5VF^2fA$KV=+yeDAr(=R5b<=h&XFe{J0MFl&{aBJx;~*~cUj%okXeVVDH@bTez{AfHstc7oX)2_|PG`m_IG"
    r"QoWCvfdkn;_CD@^%urBJP*6}%P*6}%>^kNyc69AOa3FE*w1@Hqe9j?P{%*KTeeu-jv58T3;@I)=Q8xUJeYS^ffH&n}Wa_rbPK>@h!M<>kd`^##"
    r"4@VjrQ`k6LDcdDaFS+%N*%PB*I(B+|f<1hA!+x6&;vx5Jv&|~Vn`%K1+kBNBdtqYq%cG|@JW5n5;lid0oUh=ZO?1~ZDpWCheEj6`=)M<EjXi(t"
    r")EV}xqi5J>S1mtWZ`<K|lMSyJW!OK2BXu&5JeTU+fAm0tu}da?)qSNvNY+u+D+k+pNV*Qf|LM8UB)aw=I+VEjOyDeQqqsGz$vU^G+0pjCQ$Y?U"
    r"4WoTpqHnEx42MPRArpCM2PtkKRZ4d5A3GFBY7HeisM+XP$?enRlgxhLuXbnu8?I1LP*6}%P*6}%P*6}%P&_5*@-"
    r"zR=RFA(L_zRQ$bN0vCsjQSuk_`$93JMAe3JMAe3JMB}_J)u?*nc_^-bv>GumCnRXmOUNSe$HNjZ=9Zaz-BTf+XaDY$~1cT`(u}lI3?1IYohaSp"
    r"udiic&hRi)tyHEQ^ZYMc_;T0TN}5R0XHvyGWdzH}ifMz{x6-"
    r"0Z{WIFAE*<T|`b6RLSqcbI^bgsYV`(mYf8Bm&`g{Op}wL!E<@bvN&YOmL(~cqJexrF<M{xPt3qS2ENhv&pxyFlRZDmyqWoI_gh`4bBXMrprD|j"
    r"XkW}e)7MJ^|7orJ;NWbol~b9JM^Hd0&k24TRRkIb1ViK?uRse!C?TMHN7pM3p2P*cQY{pQ{ddJCu~)>dizcyKbSEpwID6y$AEa+Cu?19`G^UVU"
    r"(v7l%b1RK<#j<HzHg@ix!o~75em?yE>K&t8@^H!f*}KRzZO<;3P(eR?4mp$VrFR|dR>~z8>njh@U7GhF#anO!5%VQf#E)*-"
    r"=B*<5H4#tLn??njw8Q$h+;V9q-"
    r"P;q`B*A^6ua#4Ep6Bx_gqXuXz#KU%%bX&a7N?1pNUj$Y*@B?aBqpvD%IA}L2bGMe5wAQF+NeZ!&VIfp<R)`)a4xwwibS~iP5S0<<ETOQ;<2%1L"
    r"S9=TWbs5G2%EVUn7M`Q8dl&hymGmq8>molum8#}1?=cG-#w`ML$1nrv@VOO%rc9g8r-)x#`{p$$?;W-"
    r"Sl3tV_g=9((4wDcG0=(@{4%(87AuI3_ueei75Yr#@Zc=7H;4U^uG@rq$EjAlwIhFjI{C&szUNFjs4|uFS#}r4R@%+o4xV40T|kEKAq%0T1rPbo"
    r"f5-LEq+OaM&alMhO-aUBQ1cQmi4bT876o4AWl_tEl4V-&th$u{cySRunn`tr#AjlrZ`@_GCCNO1qQFTK6gW`<WH*8aC-"
    r"E}5?A1geFNlp6a4~X>skPY~9!D^HkEd57>)gJ*(IYZ@|B$}<ySUlw&!=BbkVWGRzGIcEC6g6fn7{MBuwVu+gqj5NSiHA7XLZ|L@c(n*E^<8EBD"
    r"6nRAT)bb_l{dN45GrilQ@|QxRm0!jLT<a8AD=Mg`Axv%pnL=PJjyJfNW?2GNESi5gS&BrPi1Xk0W5x=?IvVd?vlU&?3U)zgvyM_r}<BcA>x)%H"
    r"^|L55z)EAii<Amfv|_%FOLos@OUIcA@M~)n$GIF^jAHwj93G$$<HznIr2mADfn9UX*!*L@!gd@|-"
    r"AIh_fWXb4V2|l;;%@0He|7x=vitA;D{nexHVb{QZf5{G<K_65KOIA|7x(ee?Hm9xzocqSC#u_{+x2qs1^Fv9{NO6Wk62Zg!dE-"
    r"~aFH{VS8bn>{)3!N5-jPW1n)|3<&k_qV>weV-#cC@3f>C@3f>C@3h}7cY1DiB5N7r>nqyX9B^A#7>u^lD(nInH`thvs)^E)U{iZKg?`Ja#Ll-"
    r"?v2d6ohnvmyvuD*aC#$+w^OZ2ZKUyb1b1wp@wQ3~$(KTnGdnHVzyF_N?lS|)-c08;veM4@{!6KhZ-"
    r"&7)hs;*yM>7t&T%)=6^Xb$r&s|~#UXY1&PUI(eb%d8kB#;vTFR1EsJU_zoep&m|%?$ov`By^ppjPhA-"
    r"d(BqywQf`ppRjV@`*36KWw~l@#x{I%VEbQy17>tS8I|>fZrHGj?eLeAdo1i2`W@ou<Ef(aFf1}^c6Kl<$)+FBCo2N2H}JHdhC+8i4f5jqC#F4R"
    r"Z%4}BqHizV@ZE&szgk+H8J;B?5evMmo6{*x6Ue6V%$q>cAlv*`DRB9$RLWWsE|Zw2}-"
    r"i8s^YwFtC>dIwNBo$ugyd)xFsH{72oenec8j@*CQrf^_B}mZn^3hcxZ$jBGI8TG|UdU9<GpWfvkqVz~hpw3l}eb@4FpgWdEUKwsINK%!#|H$j)"
    r"mr5Mm;G+~Bd1{dF4I+aa<?Ts|5YFYi!b+{#?qow&FaDfRJeuC3$Qh7l;VK{F8uG)AB+)5$Obz4lGBm9(Il3-RV6kSakK6M^CekBva>c&o92`{-"
    r"nx+o8$Wdf)B4W&ISI-IXa6b^Qjtn{j-;(edXlBz(tb2CwF(TFEY(acZDxlBTWi)UkpaoVvzpGi~kP5r5t;-"
    r"}OE<Q{z(+Pq?u*R4w;G`x^4ONZ9l9|3ue$hWt@bP*6}%Q0z8tq|#x&@z%G^R_@g`Q*v%9-"
    r";gCJtY7hnA3QeSxJfG>w3fXCwd^PNO_hg@FaJdI+pBw2g_lTQC@PAe%9^Cgya)tAd7`WE>mE_W;#(6_pJiSB7!~vH*S+#{Wt+Eow&mPU-"
    r"#wz`m!W2MNZf{H&(Qswss4!T=l_3a$R7m-1qB5K#Z!Xo2Rp+u!%uT&D?f|WOf{gnGJ_0c7*l458@%xjP|YKAG^eLI{odvD|E~;QCVd4-6BP-"
    r"PWEBEc0-{Va_!z^~XYki(22V5iHq77`LKmOep|Vx<5rAg$f7qD+{|_gq=)C"
)
_HISTORY = (
    r"c-rk(OK+Pn9RDhjubV3yKQKA(viojTg^V8wDgg#&T~+0~&o;Cr>Dp$gmTXdP7{C7i-"
    r";3n>0sN5FV0y4zJb;bqd%22(>j$8k+L_w<0r<MOE30ZzHO=i6_`Cp8>(Z4?Evx+YPIjxfed{MW)3;6Cn|x!O)Y8ev33uO`aFQ&;{#tIrs2-"
    r"}yk4hb8Hc6OqO;hDcR@GF*v=a12c4{5(o~{Gm2h-h$xvE)#?bA77GsIwa=hK;BdlQz`zU5NqyH|yoA#^`4Jrw9q-oe5)L#-"
    r"F&V=#ofXF$x_o4_DDVC4I)$<CElD)$Ux@1z_0c-"
    r"EklClc%z{>8Lab8qzDW01aN@EE{v!gaOz=^mH)CTzKiq>qn7CyUC&7jE4dsV9KO!3dFB8+F?@W$p4h;<ER0+<`4NDx((KEVYm;lR<$Hg{r_PVM"
    r"&3xPQf-5G{*z<&Cn?`imz!w#NV`jO#NdkI}iDYXxOQIQO@XGMj8^7aELJ^=o=DC#Fq?TC7feUKOwY42t1vTpQvvGIbt^SO<<bRf-"
    r"|fIA#Cj1?=f9Bv~FZAs_Kx;&{1xS(tS*B>tQ47R~3g}sQeODm#8{ZRC&C+m2u#Nk@dE94~r~vWMna#B<G1NVN=LCNkiWW)R<yPxRD|?m&m$A)`"
    r"=o(*ZQM$PG|l1EO40hljE%Ke;NsKF6%SM3tfc1G2}vWj732ZPkv|p$@Z}X&!-"
    r"pDv(2LfWDM+OBzRTUbEOxWabpruFvJMOnKC3n0&$WRgjsDz1zdvVUk#RBe@=y*(4TMX^e}(o<NS#-"
    r"j?eaKCXgqBg}xD_ic%?5L5b!6$ESH$HErcrpHMSzV|SQl(2<%EjGpNqsL&d6st_!!wNNT<ElX{h;o^@qvrAu|`&jQ>o}ZAzcY1k+!?JD%HzN@q"
    r"=X{)HEX!VJ@lo!3fZqH9X&peS"
)


def write_database(path: Path) -> Path:
    """Write the database of the saver to a file; return the file."""
    path.write_bytes(zlib.decompress(base64.b85decode(_DATABASE)))
    return path


def history() -> list[dict[str, Any]]:
    """Return the states of the graph, the newest first, as ``get_state_history()`` gives them."""
    states = json.loads(zlib.decompress(base64.b85decode(_HISTORY)))
    assert isinstance(states, list)
    return states
