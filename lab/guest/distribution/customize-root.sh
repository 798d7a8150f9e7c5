#!/bin/sh
# Makes a Debian root that mmdebstrap has just filled quick to boot on an emulated CPU: customize-root.sh ROOT
set -eu
root=$1

echo debian >"$root/etc/hostname"
printf '127.0.0.1\tlocalhost\n127.0.1.1\tdebian\n::1\tlocalhost ip6-localhost\n' >"$root/etc/hosts"
echo 'LABEL=root / ext4 defaults 0 1' >"$root/etc/fstab"

# Where cloud-init does not set up the network.
cat >"$root/etc/systemd/network/90-dhcp.network" <<'END'
[Match]
Type=ether

[Network]
DHCP=yes
END
chroot "$root" systemctl --quiet enable systemd-networkd

# A package database, mounts and checks that the guest does not live long enough to need, and a screen that it has not.
# What waits for the network would wait for two minutes where a machine has none.
for unit in apt-daily.timer apt-daily-upgrade.timer dpkg-db-backup.timer e2scrub_all.timer fstrim.timer \
  e2scrub_reap.service dev-hugepages.mount dev-mqueue.mount sys-kernel-debug.mount sys-kernel-tracing.mount \
  getty@tty1.service systemd-networkd-wait-online.service; do
  ln -sf /dev/null "$root/etc/systemd/system/$unit"
done
# Only while it is made.
rm -f "$root/etc/apt/apt.conf.d/99mmdebstrap"
# The journal stays in memory.
rm -rf "$root/var/log/journal"

# Each module costs an emulated CPU the time to import it: these are what seeds use. The disk has no partitions.
cat >"$root/etc/cloud/cloud.cfg.d/50-seeds.cfg" <<'END'
datasource_list: [NoCloud, ConfigDrive, None]
ssh_pwauth: false
locale: false
cloud_init_modules: [seed_random, bootcmd, write-files, resizefs, set_hostname, update_etc_hosts, users-groups]
cloud_config_modules: [set-passwords, runcmd]
cloud_final_modules: [scripts-per-boot, scripts-per-instance, scripts-user, final-message]
END

# Only the drivers of machines that QEMU makes, and packed as what is quickest to unpack.
cat >"$root/etc/initramfs-tools/conf.d/qemu" <<'END'
MODULES=list
COMPRESS=lz4
COMPRESSLEVEL=1
END
printf '%s\n' virtio_pci virtio_blk virtio_scsi sd_mod ext4 >>"$root/etc/initramfs-tools/modules"
chroot "$root" update-initramfs -u
# It is booted with what lies beside its disk; whatever is installed in it need not make another.
sed -i 's/^update_initramfs=.*/update_initramfs=no/' "$root/etc/initramfs-tools/update-initramfs.conf"
