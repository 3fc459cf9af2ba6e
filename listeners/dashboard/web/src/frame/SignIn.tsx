import { useState } from "preact/hooks";
import { api, troubleOf } from "../base/api.ts";
import { Button } from "../parts/parts.tsx";
import { Sign } from "../parts/Sign.tsx";
import { hasOtherLogin, session } from "../stream/state.ts";

/** What a token was refused for, if it came with the address. */
export async function signIn(token: string): Promise<string> {
  try {
    session.value = await api.signIn(token);
    return "";
  } catch (error) {
    const trouble = troubleOf(error);
    return `${trouble.message} ${trouble.suggestion}`.trim();
  }
}

/** Where people sign in at the program that serves the page: no token would be taken here. */
function SignInElsewhere() {
  return (
    <main class="sign-in">
      <h1>
        <Sign name="mark" class="tone-accent" size={18} /> hubwire
      </h1>
      <p>You are not signed in. Sign in where the program that serves this page has its login, then come back.</p>
      <Button look="filled" large onClick={() => location.reload()}>
        Load again
      </Button>
    </main>
  );
}

export function SignIn({ refused = "" }: { refused?: string }) {
  const [token, setToken] = useState("");
  const [trouble, setTrouble] = useState(refused);
  const send = async () => {
    if (!token.trim()) {
      setTrouble("Paste the token first.");
      return;
    }
    setTrouble(await signIn(token.trim()));
  };
  if (hasOtherLogin.value) return <SignInElsewhere />;
  return (
    <main class="sign-in">
      <h1>
        <Sign name="mark" class="tone-accent" size={18} /> hubwire
      </h1>
      <p>
        This page needs a token. <code>hubwire serve</code> prints an address with one when it starts; whoever runs the
        hub can give you yours.
      </p>
      <form
        onSubmit={(event) => {
          event.preventDefault();
          void send();
        }}
      >
        <label for="token">Token</label>
        <input
          id="token"
          type="password"
          autocomplete="off"
          spellcheck={false}
          value={token}
          aria-describedby={trouble ? "token-trouble" : undefined}
          aria-invalid={trouble ? true : undefined}
          onInput={(event) => setToken(event.currentTarget.value)}
        />
        {trouble && (
          <p id="token-trouble" role="alert" class="wrong">
            {trouble}
          </p>
        )}
        <Button look="filled" large onClick={() => void send()}>
          Sign in
        </Button>
      </form>
    </main>
  );
}
