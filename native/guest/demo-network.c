/*
 * A DHCP client (RFC 2131) for the demo VM: as much of one as it takes to get an address from a server that is there. The kernel
 * answers ARP and ping by itself then. The lease is not renewed: no test is as long.
 */
#define _GNU_SOURCE
#include "demo-network.h"

#include <arpa/inet.h>
#include <errno.h>
#include <net/if.h>
#include <net/if_arp.h>
#include <stdint.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static const char INTERFACE[] = "eth0";

enum {
	SERVER_PORT = 67,
	CLIENT_PORT = 68,
	BOOTREQUEST = 1,
	BOOTREPLY = 2,
	ETHERNET = 1,
	MAC_BYTES = 6,
	OPTIONS_BYTES = 312,
	/* Types of messages. */
	DISCOVER = 1,
	OFFER = 2,
	REQUEST = 3,
	ACK = 5,
	/* Options. */
	PAD = 0,
	SUBNET_MASK = 1,
	REQUESTED_ADDRESS = 50,
	MESSAGE_TYPE = 53,
	SERVER_ID = 54,
	END = 255,
	WAIT_SECONDS = 1,
};

static const uint32_t MAGIC = 0x63825363;
/* The guest has no address yet that an answer could be sent to. */
static const uint16_t BROADCAST = 0x8000;

struct message {
	uint8_t op, hardware_type, hardware_length, hops;
	uint32_t transaction;
	uint16_t seconds, flags;
	struct in_addr client, yours, server, relay;
	uint8_t hardware_address[16];
	char server_name[64], file[128];
	uint32_t magic;
	uint8_t options[OPTIONS_BYTES];
} __attribute__((packed));
_Static_assert(sizeof(struct message) == 240 + OPTIONS_BYTES, "a message is as in RFC 2131");

static int request(int socket, unsigned long what, struct ifreq *of)
{
	strncpy(of->ifr_name, INTERFACE, IFNAMSIZ - 1);
	return ioctl(socket, what, of);
}

/* The value of an option of a message, or NULL if it does not have one of that length. */
static const uint8_t *option(const struct message *message, uint8_t code, uint8_t length)
{
	for (int at = 0; at + 1 < OPTIONS_BYTES && message->options[at] != END;) {
		if (message->options[at] == PAD) {
			at++;
			continue;
		}
		int size = message->options[at + 1];
		if (at + 2 + size > OPTIONS_BYTES)
			return NULL;
		if (message->options[at] == code)
			return size == length ? &message->options[at + 2] : NULL;
		at += 2 + size;
	}
	return NULL;
}

static uint8_t *add_option(uint8_t *at, uint8_t code, const void *value, uint8_t length)
{
	at[0] = code;
	at[1] = length;
	memcpy(at + 2, value, length);
	return at + 2 + length;
}

/* `offer` is what is asked for; NULL asks who has something to offer. */
static int ask(int socket, const uint8_t *mac, uint32_t transaction, const struct message *offer)
{
	struct message question = { .op = BOOTREQUEST,
				    .hardware_type = ETHERNET,
				    .hardware_length = MAC_BYTES,
				    .transaction = transaction,
				    .flags = htons(BROADCAST),
				    .magic = htonl(MAGIC) };
	memcpy(question.hardware_address, mac, MAC_BYTES);
	uint8_t type = offer == NULL ? DISCOVER : REQUEST;
	uint8_t *at = add_option(question.options, MESSAGE_TYPE, &type, 1);
	const uint8_t *server = offer == NULL ? NULL : option(offer, SERVER_ID, 4);
	if (server != NULL) {
		at = add_option(at, SERVER_ID, server, 4);
		at = add_option(at, REQUESTED_ADDRESS, &offer->yours, 4);
	}
	*at = END;
	struct sockaddr_in everybody = { .sin_family = AF_INET,
					 .sin_port = htons(SERVER_PORT),
					 .sin_addr.s_addr = htonl(INADDR_BROADCAST) };
	ssize_t sent = sendto(socket, &question, sizeof question, 0, (struct sockaddr *)&everybody, sizeof everybody);
	return sent == sizeof question ? 0 : -1;
}

/* Waits for an answer of this type; others are those of other questions. */
static int hear(int socket, uint32_t transaction, uint8_t type, struct message *answer)
{
	for (int others = 0; others < 100; others++) {
		memset(answer, 0, sizeof *answer);
		if (recv(socket, answer, sizeof *answer, 0) < 0)
			return -1;
		const uint8_t *is = option(answer, MESSAGE_TYPE, 1);
		if (answer->op == BOOTREPLY && answer->transaction == transaction && answer->magic == htonl(MAGIC) &&
		    is != NULL && *is == type)
			return 0;
	}
	return -1;
}

static int get_lease(int socket, const uint8_t *mac, struct message *lease)
{
	uint32_t transaction;
	struct message offer;
	if (getrandom(&transaction, sizeof transaction, GRND_NONBLOCK) < 0)
		transaction = (uint32_t)clock();
	if (ask(socket, mac, transaction, NULL) != 0 || hear(socket, transaction, OFFER, &offer) != 0)
		return -1;
	if (ask(socket, mac, transaction, &offer) != 0 || hear(socket, transaction, ACK, lease) != 0)
		return -1;
	return 0;
}

static int open_socket(void)
{
	int file = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	int yes = 1;
	struct timeval patience = { .tv_sec = WAIT_SECONDS };
	struct sockaddr_in own = { .sin_family = AF_INET, .sin_port = htons(CLIENT_PORT) };
	if (file < 0 || setsockopt(file, SOL_SOCKET, SO_BROADCAST, &yes, sizeof yes) != 0 ||
	    setsockopt(file, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience) != 0 ||
	    setsockopt(file, SOL_SOCKET, SO_BINDTODEVICE, INTERFACE, sizeof INTERFACE) != 0 ||
	    bind(file, (struct sockaddr *)&own, sizeof own) != 0)
		return -1;
	return file;
}

static int set_address(int socket, unsigned long what, struct in_addr address)
{
	struct ifreq change = { 0 };
	struct sockaddr_in in = { .sin_family = AF_INET, .sin_addr = address };
	memcpy(&change.ifr_addr, &in, sizeof in);
	return request(socket, what, &change);
}

/* The MAC address of the interface, once it is there and up. */
static int bring_up(int socket, uint8_t *mac)
{
	struct ifreq interface = { 0 };
	if (request(socket, SIOCGIFHWADDR, &interface) != 0)
		return -1;
	memcpy(mac, interface.ifr_hwaddr.sa_data, MAC_BYTES);
	if (request(socket, SIOCGIFFLAGS, &interface) != 0)
		return -1;
	interface.ifr_flags |= IFF_UP;
	return request(socket, SIOCSIFFLAGS, &interface);
}

void join_network(say_function *say)
{
	int plain = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	uint8_t mac[MAC_BYTES];
	/* The driver has been loaded and may still be at work. */
	while (bring_up(plain, mac) != 0)
		usleep(10 * 1000);
	int client = open_socket();
	if (client < 0) {
		say("novacron-demo cannot ask for an address: %m\n");
		return;
	}
	struct message lease;
	while (get_lease(client, mac, &lease) != 0)
		;
	struct in_addr netmask = { .s_addr = htonl(0xffffff00) };
	const uint8_t *given = option(&lease, SUBNET_MASK, sizeof netmask);
	if (given != NULL)
		memcpy(&netmask, given, sizeof netmask);
	if (set_address(plain, SIOCSIFADDR, lease.yours) != 0 || set_address(plain, SIOCSIFNETMASK, netmask) != 0) {
		say("novacron-demo cannot take %s: %m\n", inet_ntoa(lease.yours));
		return;
	}
	say("novacron-demo network mac=%02x:%02x:%02x:%02x:%02x:%02x address=%s\n", mac[0], mac[1], mac[2], mac[3], mac[4],
	    mac[5], inet_ntoa(lease.yours));
}
