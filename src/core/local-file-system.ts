/** Numbers of statfs(2) for those that one host alone can have mounted to write. */
const LOCAL_FILE_SYSTEMS: readonly number[] = [
  0xef53, // ext2, ext3, ext4
  0x58465342, // XFS
  0x9123683e, // Btrfs
  0x2fc12fc1, // ZFS
  0xf2f52010, // F2FS
  0xca451a4e, // bcachefs
  0x01021994, // tmpfs
  0x794c7630, // overlayfs
];

/** Whether no other host can have a file system of this type, by statfs(2), mounted to write. */
export function isLocalFileSystem(type: number): boolean {
  return LOCAL_FILE_SYSTEMS.includes(type);
}
