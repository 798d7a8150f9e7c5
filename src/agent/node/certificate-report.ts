/** How the node's certificate is taken by others. */
export interface CertificateReport {
  /** `Refused`: nobody else accepts it, as it has expired, or is not what it should be. */
  readonly reason: 'Valid' | 'ExpiresSoon' | 'Refused';
  /** The cause and what to do, for people; empty when valid. */
  readonly message: string;
  /** Milliseconds since 1970. */
  readonly expiresAtMs: number;
  /** From when it is valid until it expires. */
  readonly lifetimeMs: number;
}
