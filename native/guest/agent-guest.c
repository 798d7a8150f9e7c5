/*
 * Init of the guest that has a guest agent: an initramfs on a stock kernel with QEMU's own qemu-ga, or with one that
 * misbehaves. What a guest may do to whoever asks it is found out with it.
 *
 * Kernel command line (defaults in brackets):
 *   agent.mode=MODE [real]
 *     real      qemu-ga of this machine's Debian, started again whenever it ends
 *     none      nobody opens the port
 *     silent    the port is opened, and nothing is ever answered
 *     mute      it says that it is there (guest-sync), and answers nothing else
 *     liar      answers of wrong types, absurd numbers, control characters, and texts of 100 KiB
 *     flood     12 MiB of answer without an end
 *     garbage   what is no JSON
 *   agent.shell       a shell on the serial console, for whoever types there
 *   /dev/vda, if there is an ext4 file system on it, is mounted at /data. A network interface gets the address that a DHCP server
 *   has for it. It powers off when the power button is pressed.
 *
 * As `/init DEED` it does what guests do by themselves, such as to eject a CD on the bus scsi; see guest-deeds.c.
 *
 * Output, one line each:
 *   novacron-agent MODE port=PATH     the agent is about to be started
 *   novacron-agent end status=N       qemu-ga has ended
 */
#define _GNU_SOURCE
#include "demo-network.h"
#include "guest-deeds.h"
#include "power-button.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
	LINE_BYTES = 4 * 1024 * 1024,
	LONG_TEXT_BYTES = 100 * 1024,
	FLOOD_BYTES = 12 * 1024 * 1024,
	MODE_BYTES = 16,
	PATH_BYTES = 320,
	COMMAND_LINE_BYTES = 4096,
};

static const char PORT_NAME[] = "org.qemu.guest_agent.0";
static int console;

__attribute__((format(printf, 1, 2))) static void say(const char *format, ...)
{
	va_list arguments;
	va_start(arguments, format);
	vdprintf(console, format, arguments);
	va_end(arguments);
}

static void load_module(const char *name)
{
	char path[64];
	snprintf(path, sizeof path, "/modules/%s.ko", name);
	int file = open(path, O_RDONLY);
	if (file < 0)
		return;
	if (syscall(SYS_finit_module, file, "", 0) != 0)
		say("novacron-agent cannot load %s: %m\n", path);
	close(file);
}

static void read_command_line(char line[COMMAND_LINE_BYTES])
{
	memset(line, 0, COMMAND_LINE_BYTES);
	int file = open("/proc/cmdline", O_RDONLY);
	if (file >= 0 && read(file, line, COMMAND_LINE_BYTES - 1) < 0)
		line[0] = '\0';
	close(file);
}

static void read_mode(const char *line, char mode[MODE_BYTES])
{
	const char *found = strstr(line, "agent.mode=");
	strcpy(mode, "real");
	if (found != NULL)
		sscanf(found, "agent.mode=%15[a-z]", mode);
}

/* The device of the port of that name; waits for it, as it comes with the module. */
static void find_port(char path[PATH_BYTES])
{
	for (;; usleep(20000)) {
		DIR *folder = opendir("/sys/class/virtio-ports");
		if (folder == NULL)
			continue;
		for (struct dirent *entry; (entry = readdir(folder)) != NULL;) {
			char name[64] = "";
			snprintf(path, PATH_BYTES, "/sys/class/virtio-ports/%s/name", entry->d_name);
			int file = open(path, O_RDONLY);
			if (file < 0)
				continue;
			if (read(file, name, sizeof name - 1) > 0 && strncmp(name, PORT_NAME, strlen(PORT_NAME)) == 0) {
				close(file);
				snprintf(path, PATH_BYTES, "/dev/%s", entry->d_name);
				closedir(folder);
				return;
			}
			close(file);
		}
		closedir(folder);
	}
}

/* The kernel answers by itself once there is an address. */
static void start_network(void)
{
	if (access("/sys/class/net/eth0", F_OK) != 0 || fork() != 0)
		return;
	join_network(say);
	_exit(0);
}

static void watch_power_button(void)
{
	if (fork() != 0)
		return;
	for (open_buttons(); !power_button_pressed(); usleep(50000))
		;
	sync();
	reboot(RB_POWER_OFF);
	_exit(1);
}

static void start_shell(void)
{
	if (fork() != 0)
		return;
	for (;;) {
		pid_t child = fork();
		if (child == 0) {
			setsid();
			int terminal = open("/dev/ttyS0", O_RDWR);
			ioctl(terminal, TIOCSCTTY, 1);
			for (int stream = 0; stream < 3; stream++)
				dup2(terminal, stream);
			execl("/bin/sh", "sh", "-i", NULL);
			_exit(127);
		}
		waitpid(child, NULL, 0);
		usleep(200000);
	}
}

static void run_real_agent(const char *port)
{
	for (;;) {
		pid_t child = fork();
		if (child == 0) {
			execl("/usr/sbin/qemu-ga", "qemu-ga", "-m", "virtio-serial", "-p", port, "-t", "/run", NULL);
			_exit(127);
		}
		/* All orphans are ours to reap. */
		int status = 0;
		while (wait(&status) != child)
			;
		say("novacron-agent end status=%d\n", status);
		usleep(200000);
	}
}

static void send_all(int port, const char *data, size_t bytes)
{
	while (bytes > 0) {
		ssize_t written = write(port, data, bytes);
		if (written <= 0) {
			usleep(1000);
			continue;
		}
		data += written;
		bytes -= (size_t)written;
	}
}

static void send_text(int port, const char *text) { send_all(port, text, strlen(text)); }

static void send_long(int port, const char *before, const char *after, size_t bytes)
{
	char *text = malloc(bytes);
	memset(text, 'A', bytes);
	send_text(port, before);
	send_all(port, text, bytes);
	send_text(port, after);
	free(text);
}

struct lie {
	const char *command;
	const char *answer;
};

/* The first of which the command begins with its name. */
static const struct lie LIES[] = {
	{ "guest-get-host-name", "{\"return\":{\"host-name\":\"\\u202e\\u001b[2Jroot\\n# \"}}\n" },
	{ "guest-get-timezone", "{\"return\":{\"offset\":9999999999,\"zone\":\"\\u0007\"}}\n" },
	{ "guest-get-users", "{\"return\":[{\"user\":\"\\u001b]0;owned\\u0007\",\"login-time\":1e300},"
			     "{\"user\":\"mallory\",\"login-time\":1.5}]}\n" },
	{ "guest-get-fsinfo", "{\"return\":[{\"name\":7,\"mountpoint\":[],\"type\":{},\"disk\":\"all\"}]}\n" },
	{ "guest-network-get-interfaces",
	  "{\"return\":[{\"name\":\"eth\\u001b[31m0\",\"hardware-address\":\"not a mac\",\"ip-addresses\":["
	  "{\"ip-address-type\":\"ipv4\",\"ip-address\":\"999.1.2.3; rm -rf /\",\"prefix\":24},"
	  "{\"ip-address-type\":\"ipv4\",\"ip-address\":\"10.1.2.3\",\"prefix\":4000},"
	  "{\"ip-address-type\":\"ipv4\",\"ip-address\":\"10.9.9.9\",\"prefix\":8}]}]}\n" },
	{ "guest-exec-status", "{\"return\":{\"exited\":\"maybe\"}}\n" },
	{ "guest-exec", "{\"return\":{\"pid\":-7}}\n" },
	{ "guest-fsfreeze-status", "{\"return\":42}\n" },
	{ "guest-set-user-password",
	  "{\"error\":{\"class\":\"GenericError\",\"desc\":\"\\u001b[31myou have been owned\\u001b[0m\"}}\n" },
	{ "", "{\"return\":{}}\n" },
};

static void tell_lie(int port, const char *line)
{
	const char *command = strstr(line, "guest-");
	if (command == NULL)
		command = "";
	if (strncmp(command, "guest-get-osinfo", 16) == 0) {
		send_long(port, "{\"return\":{\"id\":[\"debian\"],\"name\":\"\\u001b]0;owned\\u0007\",\"pretty-name\":\"", "\"}}\n",
			  LONG_TEXT_BYTES);
		return;
	}
	for (size_t i = 0; i < sizeof LIES / sizeof *LIES; i++) {
		if (strncmp(command, LIES[i].command, strlen(LIES[i].command)) != 0)
			continue;
		send_text(port, LIES[i].answer);
		return;
	}
}

static void answer(int port, const char *mode, const char *line)
{
	const char *id = strstr(line, "\"id\":");
	if (strstr(line, "guest-sync") != NULL && id != NULL) {
		char text[64];
		snprintf(text, sizeof text, "{\"return\":%llu}\n", strtoull(id + 5, NULL, 10));
		send_text(port, text);
		return;
	}
	if (strcmp(mode, "liar") == 0)
		tell_lie(port, line);
	else if (strcmp(mode, "flood") == 0)
		send_long(port, "{\"return\":\"", "", FLOOD_BYTES);
	else if (strcmp(mode, "garbage") == 0)
		send_text(port, "}{ what did you say?\n");
}

static void misbehave(const char *mode, const char *path)
{
	static char line[LINE_BYTES];
	size_t used = 0;
	int port = open(path, O_RDWR);
	if (port < 0)
		say("novacron-agent cannot open %s: %m\n", path);
	for (;;) {
		if (strcmp(mode, "silent") == 0)
			pause();
		ssize_t got = read(port, line + used, sizeof line - 1 - used);
		if (got <= 0) {
			usleep(20000);
			continue;
		}
		used += (size_t)got;
		line[used] = '\0';
		for (char *end; (end = memchr(line, '\n', used)) != NULL;) {
			*end = '\0';
			answer(port, mode, line);
			used -= (size_t)(end + 1 - line);
			memmove(line, end + 1, used);
		}
		if (used == sizeof line - 1)
			used = 0;
	}
}

int main(int count, char **words)
{
	if (count > 1 && getpid() != 1)
		return do_deed(words[1]);
	static const char *const MODULES[] = { "button",	     "evdev",	   "virtio_ring",	     "virtio",	   "virtio_pci_legacy_dev",
					       "virtio_pci_modern_dev", "virtio_pci",  "virtio_console",
					       "virtio_balloon",	     "virtio_mem",
					       "scsi_common",	     "scsi_mod",   "virtio_scsi",
					       "cdrom",		     "sr_mod",
					       "virtio_blk",	     "crc16",	   "crc32c_generic",
					       "libcrc32c",	     "mbcache",	   "jbd2",
					       "ext4",		     "failover",   "net_failover",
					       "virtio_net" };
	char line[COMMAND_LINE_BYTES], mode[MODE_BYTES], port[PATH_BYTES];
	mount("proc", "/proc", "proc", 0, NULL);
	mount("sysfs", "/sys", "sysfs", 0, NULL);
	mount("devtmpfs", "/dev", "devtmpfs", 0, NULL);
	console = open("/dev/ttyS0", O_WRONLY | O_NOCTTY);
	for (size_t i = 0; i < sizeof MODULES / sizeof *MODULES; i++)
		load_module(MODULES[i]);
	sethostname("agent-guest", strlen("agent-guest"));
	setenv("PATH", "/usr/bin:/usr/sbin:/bin:/sbin", 1);
	/* A disk may be blank. */
	if (access("/dev/vda", F_OK) == 0 && mount("/dev/vda", "/data", "ext4", 0, NULL) != 0 && errno != EINVAL)
		say("novacron-agent cannot mount /dev/vda: %m\n");
	read_command_line(line);
	read_mode(line, mode);
	watch_power_button();
	start_network();
	if (strstr(line, "agent.shell") != NULL)
		start_shell();
	find_port(port);
	say("novacron-agent %s port=%s\n", mode, port);
	if (strcmp(mode, "real") == 0)
		run_real_agent(port);
	else if (strcmp(mode, "none") != 0)
		misbehave(mode, port);
	for (;;)
		pause();
}
