#!/bin/sh
# First process of a lab node, already in network, mount, UTS and PID namespaces of its own. Gives the node
# private folders, says "ready" on descriptor 3, then reaps what loses its parent. When it dies, the
# kernel ends every process of the node.
# usage: node-init.sh NAME FOLDER
set -eu
name=$1 folder=$2

hostname "$name"
ip link set lo up
# A sysfs mounted in this network namespace shows its interfaces, not the host's.
umount -l /sys
mount -t sysfs sysfs /sys

mount --bind "$folder/hosts" /etc/hosts
for path in /etc/libvirt /var/lib/libvirt /var/cache/libvirt /var/log/libvirt \
  /etc/openvswitch /var/lib/openvswitch /var/log/openvswitch \
  /etc/novacron /var/lib/novacron; do
  [ -d "$path" ] || continue
  mkdir -p "$folder$path"
  mount --bind "$folder$path" "$path"
done

# All of /run is private: no host D-Bus, systemd or udev answers in the node. Only the labs stay visible.
labs=$(dirname "$(dirname "$folder")")
mkdir -p "$folder/run${labs#/run}" "$folder/run/lock"
mount --bind "$labs" "$folder/run${labs#/run}"
mount --rbind "$folder/run" /run

# As udev has it on a machine that runs VMs: where it does not, a QEMU that is not root cannot open it, and libvirt
# probes QEMU again at every turn.
if [ -c /dev/kvm ] && getent group kvm >/dev/null; then
  mkdir -p "$folder/dev"
  mount -t tmpfs -o mode=755 tmpfs "$folder/dev"
  mknod -m 660 "$folder/dev/kvm" c 10 232
  chgrp kvm "$folder/dev/kvm"
  mount --bind "$folder/dev/kvm" /dev/kvm
fi

echo ready >&3
exec 3>&-
# The shell reaps while it waits; the sleep only gives it something to wait for.
while :; do
  sleep 2147483647 &
  wait $! || :
done
