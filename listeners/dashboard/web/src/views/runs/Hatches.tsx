/** The hatches of open bars, one a family, and that of a restart. `id` makes their names unique in the page. */
export function Hatches({ id }: { id: string }) {
  return (
    <defs>
      {["work", "model", "tool", "restart"].map((family) => (
        <pattern
          key={family}
          id={`${id}-${family}`}
          width="6"
          height="6"
          patternUnits="userSpaceOnUse"
          patternTransform="rotate(45)"
        >
          <rect class={`hatch hatch-${family}`} width={family === "restart" ? 1 : 2} height="6" />
        </pattern>
      ))}
    </defs>
  );
}
