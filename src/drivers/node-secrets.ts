/** Secrets that whoever runs a node has put on it, for VMs to name. */
export interface NodeSecrets {
  /**
   * What a secret is now, at most 64 KiB. Fails with SECRET_NOT_FOUND if there is none of that name, or if others than root could
   * read it, and says what to do.
   */
  read(name: string, signal: AbortSignal): Promise<Uint8Array>;
}
