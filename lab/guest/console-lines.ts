/** What the demo guest says on its console (native/guest/demo-guest.c). */
export type ConsoleLine =
  | {
      readonly kind: 'heartbeat';
      readonly count: number;
      readonly rewrites: number;
      readonly bad: number;
    }
  | { readonly kind: 'verify'; readonly pass: number; readonly bad: number }
  | { readonly kind: 'disk'; readonly pass: number; readonly diskBad: number }
  | { readonly kind: 'ready' }
  | { readonly kind: 'power-off'; readonly count: number }
  | { readonly kind: 'alarm'; readonly text: string }
  | { readonly kind: 'other'; readonly text: string };

const HEARTBEAT = /^novacron-demo count=(\d+) ms=\d+ gen=(\d+) checked=\d+ bad=(\d+)$/;
const VERIFY = /^novacron-demo verify pass=(\d+) bad=(\d+)$/;
const DISK = /^novacron-demo disk pass=(\d+) bad=(\d+) writes=\d+$/;
const POWER_OFF = /^novacron-demo power-off count=(\d+)$/;
const ALARM = /^novacron-demo (bad|cannot) |Kernel panic|Oops|BUG:|general protection/;

export function parseConsoleLine(text: string): ConsoleLine {
  const line = text.replace(/\r$/, '');
  const heartbeat = HEARTBEAT.exec(line);
  if (heartbeat !== null) {
    const [count, rewrites, bad] = heartbeat.slice(1).map(Number);
    return { kind: 'heartbeat', count: count ?? 0, rewrites: rewrites ?? 0, bad: bad ?? 0 };
  }
  const verify = VERIFY.exec(line);
  if (verify !== null) return { kind: 'verify', pass: Number(verify[1]), bad: Number(verify[2]) };
  const disk = DISK.exec(line);
  if (disk !== null) return { kind: 'disk', pass: Number(disk[1]), diskBad: Number(disk[2]) };
  if (line.startsWith('novacron-demo ready')) return { kind: 'ready' };
  const powerOff = POWER_OFF.exec(line);
  if (powerOff !== null) return { kind: 'power-off', count: Number(powerOff[1]) };
  return { kind: ALARM.test(line) ? 'alarm' : 'other', text: line };
}
