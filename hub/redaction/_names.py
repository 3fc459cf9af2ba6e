"""Names of keys that say what their value is: ``password``, ``userEmail``, ``X-Api-Key``, ``AWS_SECRET_ACCESS_KEY``."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from ._pseudonyms import has_placeholder

__all__ = ("Names", "words_of")

LENGTH_MAX = 100
"""A longer key is no name; it is searched as text."""

_NAMES: Mapping[str, str] = {
    "password": (
        "password passwords passwd pwd passphrase passcode pin pin_code otp otp_code otp_secret totp "
        "totp_secret one_time_password mfa_code verification_code recovery_code recovery_codes backup_codes "
        "security_answer passwort kennwort mot_de_passe contrasena contraseña senha db_pass user_pass "
        "admin_pass pgpassword mysql_pwd"
    ),
    "secret": (
        "secret secrets credential credentials creds private_key private_key_id privatekey secret_key "
        "client_secret app_secret api_secret signing_key signing_secret webhook_secret shared_secret "
        "consumer_secret encryption_key master_key hmac_key ssh_key deploy_key service_account_key "
        "account_key shared_access_key storage_key license_key aws_secret_access_key aws_secret_key "
        "aws_access_key aws_access_key_id aws_session_token secret_access_key access_key access_key_id "
        "gcp_key azure_key azure_storage_key connection_string connectionstring conn_str database_url db_url "
        "dsn redis_url mongo_uri mongodb_uri broker_url amqp_url seed_phrase mnemonic recovery_phrase "
        "keystore_password jwt_secret session_secret cookie_secret secret_string secret_value sas_token "
        "sas_url"
    ),
    "token": (
        "token access_token access_tokens refresh_token id_token auth_token bearer_token session_token "
        "csrf_token xsrf_token csrf xsrf csrfmiddlewaretoken api_token bot_token app_token device_token "
        "push_token personal_access_token jwt bearer oauth_token reset_token invite_token secret_token"
    ),
    "key": (
        "api_key apikey api_keys x_api_key app_key application_key subscription_key access_keys authkey "
        "auth_key key_secret"
    ),
    "auth": ("auth authorization proxy_authorization basic_auth http_auth x_auth"),
    "session": ("session_id session_key sessionid sid phpsessionid phpsessid jsessionid connect_sid sessid"),
    "cookie": ("cookie cookies set_cookie cookie_jar"),
    "email": ("email emails e_mail email_address email_addresses mail mail_address mailto recipient_email"),
    "phone": (
        "phone phones phone_number phone_numbers phone_no mobile mobile_number mobile_phone cell_phone "
        "cell_number cellphone telephone telephone_number tel fax fax_number msisdn whatsapp_number telefon"
    ),
    "card": (
        "credit_card credit_cards creditcard credit_card_number debit_card card_number cardnumber card_no "
        "cc_number card_pan cvv cvc card_cvv card_cvc card_code security_code card_expiry expiry_date "
        "card_security_code"
    ),
    "account": (
        "bank_account bank_account_number account_number iban bic_iban routing_number sort_code swift_account "
        "iban_number"
    ),
    "id": (
        "ssn social_security social_security_number national_id national_id_number national_insurance_number "
        "nino tax_id tax_number tax_payer_id taxpayer_id passport_number passport_no driver_license "
        "drivers_license driving_licence license_plate driver_license_number aadhaar aadhar pesel cpf bsn nif "
        "dni nie codice_fiscale personnummer identity_number identity_card id_card_number steuer_id tckn curp"
    ),
    "birth": ("date_of_birth dateofbirth dob birth_date birthdate birthday geburtsdatum birth_day"),
    "address": (
        "address addresses home_address street_address postal_address mailing_address billing_address "
        "shipping_address delivery_address address_line street street_name"
    ),
    "name": (
        "first_name last_name full_name given_name family_name middle_name maiden_name surname firstname lastname "
        "fullname forename vorname nachname"
    ),
    "ip": (
        "ip_address ip ip_addr ipaddr ipaddress client_ip remote_addr remote_ip source_ip x_forwarded_for x_real_ip"
    ),
}
"""By family, in words joined by underscores. Aperion's 43 names are among them."""

_TAILS = frozenset(
    "value values hash hashes digest plain plaintext text raw hex b64 base64 old new current previous confirm "
    "confirmation confirmed repeat again encrypted enc md5 sha256 bcrypt string str".split()
)
"""Words that may follow: the value is still what the words before say."""

_NOT_BEFORE: Mapping[str, frozenset[str]] = {
    "token": frozenset(
        "prompt completion input output total max min cached reasoning audio used remaining num n count stop "
        "next page continuation sync cursor eos bos pad unk mask special text image accepted rejected "
        "prediction creation".split()
    ),
    "address": frozenset(
        "memory mac contract bus base ip server host bind listen start end virtual physical wallet".split()
    ),
}
"""Words before the last one that make it a harmless one: ``prompt_tokens``, ``memory_address``."""

_NOT_IN_TEXTS = frozenset({"address", "email", "ip", "name"})
"""Families whose names are no hint in a text: there, an address is found by its form."""

_CONTAINED = (
    "password passwd passphrase apikey secretkey accesstoken refreshtoken authtoken privatekey clientsecret creditcard "
    "cardnumber accesskey connectionstring sessiontoken bearertoken apisecret apitoken emailaddress phonenumber "
    "accountnumber dateofbirth socialsecurity"
).split()
"""Endings of names that are written without a border between the words: ``dbpassword``, ``MYAPIKEY``."""

_WORDS = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[0-9]+|[^\W\d_a-zA-Z]+")


def words_of(name: str) -> list[str]:
    """Return the words of a compound or camel-case name, in lower case."""
    return [word.lower() for word in _WORDS.findall(name)]


class Names:
    """Which key names say that their value is personal or secret."""

    def __init__(self, families: Iterable[str], own: Mapping[str, Iterable[str]] | None = None) -> None:
        self._family_of: dict[tuple[str, ...], str] = {}
        self._endings: dict[str, str] = {}
        wanted = set(families)
        for family, names in _NAMES.items():
            if family in wanted:
                for name in names.split():
                    self._family_of[tuple(words_of(name))] = family
        for family, some in (own or {}).items():
            for name in some:
                self._family_of[tuple(words_of(name))] = family
        for ending in _CONTAINED:
            for words, family in self._family_of.items():
                if "".join(words) == ending:
                    self._endings[ending] = family
        self._words_max = max(map(len, self._family_of), default=0)

    def family_of(self, key: str) -> str | None:
        """Return the family of the value that a key of this name has; None if the name tells none."""
        if len(key) > LENGTH_MAX or has_placeholder(key):
            return None
        words = words_of(key)
        while len(words) > 1 and (words[-1] in _TAILS or (words[-1].isdigit() and len(words[-1]) < 3)):
            if (found := self._at_the_end(words)) is not None:
                return found
            words.pop()
        if words and (found := self._at_the_end(words)) is not None:
            return found
        joined = key.lower().rstrip("0123456789_.-[]")
        return next((family for ending, family in self._endings.items() if joined.endswith(ending)), None)

    def signs(self) -> list[str]:
        """Return patterns, in lower case, of which one is in each name that tells the family of a value in a text."""
        wanted = [words for words, family in self._family_of.items() if family not in _NOT_IN_TEXTS]
        return ["[_.-]*".join(words) for words in wanted] + list(self._endings)

    def key_signs(self) -> list[str]:
        """Return patterns of RE2 for the end of each key that names a family, and of few others, from any word on.

        A word begins after what is no letter, or with a capital; between words is what is no letter and no digit, and
        after the last one there may be what is no hint.
        """
        starts: dict[str, list[str]] = {}
        for words in self._family_of:
            rest = _GAPS.join([re.escape(words[0][1:]), *map(re.escape, words[1:])])
            starts.setdefault(words[0][0], []).append(rest)
        signs = [f"(?i:{'|'.join(sorted(self._endings))})"] if self._endings else []
        for letter, some in sorted(starts.items()):
            is_letter = letter.isascii() and letter.isalpha()
            start = f"(?:[^a-zA-Z]{letter}|{letter.upper()})" if is_letter else f"(?i:{re.escape(letter)})"
            signs.append(f"{start}(?i:{'|'.join(sorted(some))})")
        tails = "|".join(sorted(_TAILS))
        return [f'(?:{"|".join(signs)})(?i:[^"a-zA-Z]|{tails})*']

    def _at_the_end(self, words: list[str]) -> str | None:
        for count in range(min(self._words_max, len(words)), 0, -1):
            family = self._family_of.get(tuple(words[-count:]))
            if family is not None:
                return None if self._is_harmless(words, count) else family
        return None

    def _is_harmless(self, words: list[str], count: int) -> bool:
        if len(words) <= count:
            return False
        last, before = words[-count:], words[-count - 1]
        return count == 1 and before in _NOT_BEFORE.get(_SINGULAR.get(last[0], last[0]), ())


_GAPS = r"[^\"a-zA-Z0-9]*"
"""Between two words of a key."""

_SINGULAR = {"addresses": "address"}
