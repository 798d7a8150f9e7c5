/**
 * Files of VMs that only the agent may read, such as their user data. The hypervisor knows no more of them than their digests.
 * Contents are told apart by them, SHA-256 in lower-case hex. Two calls for one VM must not run at the same time.
 */
export interface PrivateFiles {
  /**
   * Keeps a file of a VM and returns its digest; it is on the disk when this resolves. Doing it again changes nothing, and
   * mends a file that is damaged. Other content of the same name stays beside it. Fails with INVALID_REQUEST for
   * what is no uid or no name, with STORAGE_FULL or with JOURNAL_FAILURE.
   */
  put(vmUid: string, name: string, content: Uint8Array, signal: AbortSignal): Promise<string>;

  /** Undefined if the file is not there; otherwise as `read`. */
  find(
    vmUid: string,
    name: string,
    digest: string,
    signal: AbortSignal,
  ): Promise<Uint8Array | undefined>;

  /** Fails with JOURNAL_FAILURE if the file is not there or is no longer what it was. */
  read(vmUid: string, name: string, digest: string, signal: AbortSignal): Promise<Uint8Array>;

  /** Removes what a VM has besides the given files, which are digests by name. */
  keepOnly(
    vmUid: string,
    files: Readonly<Record<string, string>>,
    signal: AbortSignal,
  ): Promise<void>;

  /** Removes all files of a VM. One that has none is fine. */
  remove(vmUid: string, signal: AbortSignal): Promise<void>;

  /** The uids of the VMs that have files, or have had some that are half removed. */
  listVms(signal: AbortSignal): Promise<readonly string[]>;
}
