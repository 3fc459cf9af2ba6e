// What a reader has chosen and keeps: theme, and how times are shown. Where storage is forbidden, it lasts for the page.

import { effect, signal } from "@preact/signals";

export type Theme = "system" | "light" | "dark";
export type Times = "clock" | "ago";

function kept<T extends string>(key: string, choices: readonly T[], otherwise: T): T {
  try {
    const found = localStorage.getItem(`hubwire.${key}`) as T | null;
    return found !== null && choices.includes(found) ? found : otherwise;
  } catch {
    return otherwise;
  }
}

function keep(key: string, value: string): void {
  try {
    localStorage.setItem(`hubwire.${key}`, value);
  } catch {
    // The browser keeps nothing for this page.
  }
}

export const theme = signal<Theme>(kept("theme", ["system", "light", "dark"], "system"));
export const times = signal<Times>(kept("times", ["clock", "ago"], "clock"));

const darkSystem = matchMedia("(prefers-color-scheme: dark)");
export const systemIsDark = signal(darkSystem.matches);
darkSystem.addEventListener("change", (event) => {
  systemIsDark.value = event.matches;
});

export function isDark(): boolean {
  return theme.value === "system" ? systemIsDark.value : theme.value === "dark";
}

/** Go to the other theme; the one that the system has is followed again. */
export function switchTheme(): void {
  const next = isDark() ? "light" : "dark";
  theme.value = (next === "dark") === systemIsDark.value ? "system" : next;
}

export function startSettings(): void {
  effect(() => {
    document.documentElement.dataset.theme = isDark() ? "dark" : "light";
    keep("theme", theme.value);
  });
  effect(() => keep("times", times.value));
}
