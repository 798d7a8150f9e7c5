/** How a folder's file system is. */
export type StorageState =
  | { readonly kind: 'writable'; readonly availableBytes: number }
  /** `full`: there is no room, or no more than what the next change needs; `failing`: `code` says how. */
  | { readonly kind: 'full' | 'read-only' | 'failing'; readonly code: string };

/** Finds out whether a folder can be written to, before something that matters has to be. */
export interface StorageProbe {
  /** The folder, for messages. */
  readonly directory: string;
  /** Asks for the room that there is, and writes nothing. A disk that does not answer holds up this call alone. */
  look(): Promise<StorageState>;
  /** Writes a small file to the disk, too, and removes it. */
  tryWrite(): Promise<StorageState>;
}
