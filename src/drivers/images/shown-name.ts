const MOST = 200;

/** What a hostile file calls another one: short, on one line, and nothing that a terminal would act upon. */
export function shownName(name: string): string {
  const shown = name.replaceAll(/[^\x20-\x7e]/g, '?');
  return shown.length > MOST ? `${shown.slice(0, MOST)}…` : shown;
}
