import { useEffect, useRef } from "preact/hooks";
import { Button, Key } from "../parts/parts.tsx";
import { KEY_LIST, keyListIsOpen, VIEW_KEY_LIST } from "./keys.ts";

export function KeyList() {
  const dialog = useRef<HTMLDialogElement>(null);
  const isOpen = keyListIsOpen.value;
  useEffect(() => {
    if (isOpen && !dialog.current?.open) dialog.current?.showModal();
  }, [isOpen]);
  if (!isOpen) return null;
  const close = () => {
    keyListIsOpen.value = false;
  };
  return (
    <dialog
      ref={dialog}
      class="key-list"
      aria-label="Keys"
      onClose={close}
      onClick={(event) => event.target === dialog.current && dialog.current?.close()}
    >
      <div class="key-list-inner">
        <header>
          <h2>Keys</h2>
          <Button look="sign" sign="close" label="Close" onClick={() => dialog.current?.close()} />
        </header>
        <dl>
          {KEY_LIST.map(([keys, words]) => (
            <div key={words}>
              <dt>
                {keys.map((key) => (
                  <Key key={key}>{key}</Key>
                ))}
              </dt>
              <dd>{words}</dd>
            </div>
          ))}
        </dl>
        <dl>
          {VIEW_KEY_LIST.map(([key, words]) => (
            <div key={words}>
              <dt>
                <Key>g</Key> then <Key>{key}</Key>
              </dt>
              <dd>{words}</dd>
            </div>
          ))}
        </dl>
      </div>
    </dialog>
  );
}
