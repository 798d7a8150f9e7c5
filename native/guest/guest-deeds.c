/*
 * What a guest does by itself, each run as `/init DEED`, say by the guest agent: see guest-deeds.h.
 */
#define _GNU_SOURCE
#include "guest-deeds.h"

#include <fcntl.h>
#include <linux/cdrom.h>
#include <linux/rtc.h>
#include <net/if.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/reboot.h>
#include <sys/socket.h>
#include <unistd.h>

static int eject(void)
{
	int drive = open("/dev/sr0", O_RDONLY | O_NONBLOCK);
	if (drive < 0 || ioctl(drive, CDROM_LOCKDOOR, 0) != 0)
		return -1;
	return ioctl(drive, CDROMEJECT, 0);
}

/* The clock on the board, as hwclock does. */
static int set_clock(void)
{
	struct rtc_time noon = { .tm_year = 101, .tm_mon = 1, .tm_mday = 3, .tm_hour = 12 };
	int clock = open("/dev/rtc0", O_WRONLY);
	return clock < 0 ? -1 : ioctl(clock, RTC_SET_TIME, &noon);
}

static int link_down(void)
{
	struct ifreq request = { .ifr_name = "eth0" };
	int any = socket(AF_INET, SOCK_DGRAM, 0);
	if (any < 0 || ioctl(any, SIOCGIFFLAGS, &request) != 0)
		return -1;
	request.ifr_flags = (short)(request.ifr_flags & ~IFF_UP);
	return ioctl(any, SIOCSIFFLAGS, &request);
}

static int cpu_off(void)
{
	int online = open("/sys/devices/system/cpu/cpu1/online", O_WRONLY);
	return online >= 0 && write(online, "0", 1) == 1 ? 0 : -1;
}

int do_deed(const char *deed)
{
	int result = -1;
	if (strcmp(deed, "eject") == 0)
		result = eject();
	else if (strcmp(deed, "set-clock") == 0)
		result = set_clock();
	else if (strcmp(deed, "link-down") == 0)
		result = link_down();
	else if (strcmp(deed, "cpu-off") == 0)
		result = cpu_off();
	else if (strcmp(deed, "reboot") == 0)
		result = reboot(RB_AUTOBOOT);
	else if (strcmp(deed, "power-off") == 0)
		result = reboot(RB_POWER_OFF);
	if (result != 0)
		fprintf(stderr, "cannot do %s: %m\n", deed);
	return result == 0 ? 0 : 1;
}
