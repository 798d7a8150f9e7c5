import { isIPv4, isIPv6 } from 'node:net';

/** 4, 6, or 0 for what is no IP address. */
export function ipVersionOf(text: string): 0 | 4 | 6 {
  if (isIpv6(text)) return 6;
  return isIPv4(text) ? 4 : 0;
}

/** Node compiles an expression for addresses of IPv6 when it is first asked: ten milliseconds that most need never spend. */
export function isIpv6(text: string): boolean {
  return text.includes(':') && isIPv6(text);
}
