/*
 * The only program of the demo VM: init of an initramfs on a stock kernel. It exists to be migrated, and to
 * notice when that went wrong.
 *
 * - Every 10 ms it writes one numbered heartbeat line to the first serial port, so whoever reads both
 *   nodes' console logs knows exactly how long the guest was silent and that no count is lost.
 * - It keeps checking all of its working memory. Each page carries its number, a generation and a checksum;
 *   the generations are kept a second time in a table elsewhere, so a page whose last write got lost (it is
 *   consistent, but old) is found as surely as a damaged one.
 * - Where it has a disk, a second process writes to it all the time and reads it all again and again. What every block
 *   must hold it knows from memory, so a disk that lacks the last writes is found as surely as a damaged one. The first
 *   half is written to; the rest shows that an image behind the disk is still there.
 * - It powers off when the power button is pressed.
 * - What is typed at the serial port it says back, line by line.
 * - Where it is told to, it gets itself an address by DHCP, and can be pinged then.
 *
 * Kernel command line (defaults in brackets):
 *   demo.mode=hot|churn|idle [hot]  rewrite a 64-byte record of a random page, a whole page, or nothing
 *   demo.rate=N [3000]              rewrites a second
 *   demo.region=SIZE [128M]         memory that is rewritten
 *   demo.fill=SIZE [64M]            memory that is written once
 *   demo.verify=N [25000]           pages checked a second
 *   demo.disk=SIZE [0]              of /dev/vda that is written and read; 0 leaves it alone
 *   demo.network=dhcp               gets an address for its first network interface
 *   demo.noise=SIZE [0]             bytes a second of meaningless output, as far as the serial port takes them
 *
 * Output, one line each:
 *   novacron-demo count=N ms=N gen=N checked=N bad=N    heartbeat; ms is the guest's monotonic clock
 *   novacron-demo ready pages=N ms=N                    the memory is filled, rewriting and checking begin
 *   novacron-demo verify pass=N bad=N                   all pages have been checked once more
 *   novacron-demo bad page=N ...                        the first few bad pages
 *   novacron-demo disk ready blocks=N                   the disk has been read once, writing and checking begin
 *   novacron-demo disk pass=N bad=N writes=N            all blocks have been checked once more
 *   novacron-demo bad block=N ...                       the first few bad blocks
 *   novacron-demo network mac=MAC address=ADDRESS       it has an address
 *   novacron-demo power-off count=N
 *   novacron-demo typed TEXT                            a line that somebody has typed, without what is not printable
 */
#define _GNU_SOURCE
#include "demo-network.h"
#include "power-button.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

enum {
	PAGE_BYTES = 4096,
	PAGE_WORDS = PAGE_BYTES / 8,
	HEADER_WORDS = 8, /* one cache line */
	RECORD_WORDS = 8,
	VOCABULARY = 2048,
	MAX_REPORTED = 8,
	BLOCK_BYTES = 4096,
	BLOCK_WORDS = BLOCK_BYTES / 8,
	/* 50 writes and 400 reads a second, which leave the rest of the guest its time. */
	CHECKS_PER_DISK_TICK = 8,
	DISK_NICENESS = 5,
};

static const int64_t TICK_NS = 10 * 1000 * 1000;
/* Filling leaves the heartbeat its time. */
static const int64_t FILL_NS_PER_TICK = 8 * 1000 * 1000;
static const int64_t SECOND_NS = 1000 * 1000 * 1000;
static const int64_t DISK_TICK_NS = 20 * 1000 * 1000;
static const int64_t DISK_PATIENCE_NS = 5LL * 1000 * 1000 * 1000;

enum mode { MODE_HOT, MODE_CHURN, MODE_IDLE };

/* What a page looks like to a compressor. */
enum kind { KIND_ZERO, KIND_RANDOM, KIND_TEXT, KIND_RECORDS };

struct settings {
	enum mode mode;
	uint64_t rate, region_pages, fill_pages, verify_rate, disk_blocks, noise;
	int has_network;
};

struct page {
	uint64_t number, generation, checksum, reserved[HEADER_WORDS - 3];
	uint64_t content[PAGE_WORDS - HEADER_WORDS];
};
_Static_assert(sizeof(struct page) == PAGE_BYTES, "a page is a page");

static struct page *pages;
/* The second opinion on every page's generation. */
static uint32_t *generations;
static uint64_t page_count, filled, walked, checked, bad, passes, rewrites, heartbeats;
static int serial, keyboard;
static char vocabulary[VOCABULARY][8];

static int64_t now_ns(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * SECOND_NS + t.tv_nsec;
}

__attribute__((format(printf, 1, 2))) static void say(const char *format, ...)
{
	char line[160];
	va_list arguments;
	va_start(arguments, format);
	int length = vsnprintf(line, sizeof line, format, arguments);
	va_end(arguments);
	/* One write, so that a line is never mixed with the kernel's own. */
	if (length > 0 && write(serial, line, (size_t)length) < 0)
		return;
}

static uint64_t random_state = 0x9e3779b97f4a7c15;

static uint64_t next_random(uint64_t *state)
{
	uint64_t x = *state;
	x ^= x << 13;
	x ^= x >> 7;
	x ^= x << 17;
	return *state = x;
}

/* Where the content of one page or record begins; unlike successive states, seeds have no sequence in common. */
static uint64_t next_seed(void)
{
	uint64_t x = next_random(&random_state) * 0xbf58476d1ce4e5b9;
	x = (x ^ x >> 31) * 0x94d049bb133111eb;
	return (x ^ x >> 29) | 1;
}

/* Each word counts with its own odd factor, so a rewritten record changes the sum by its own words only. */
static uint64_t weigh(const uint64_t *words, uint64_t first, uint64_t count)
{
	uint64_t sum = 0;
	for (uint64_t i = 0; i < count; i++)
		sum += words[i] * (((first + i) * 0x9e3779b97f4a7c15) | 1);
	return sum;
}

static uint64_t checksum(const struct page *page)
{
	return weigh(page->content, HEADER_WORDS, PAGE_WORDS - HEADER_WORDS) +
	       page->number * 0xff51afd7ed558ccd + page->generation * 0xc4ceb9fe1a85ec53;
}

/* Of ten pages four are zero, one random, three text and two records; zstd -1 makes the last six 2.3 times smaller. */
static enum kind kind_of(uint64_t number)
{
	static const enum kind KINDS[10] = { KIND_ZERO, KIND_TEXT, KIND_RECORDS, KIND_RANDOM, KIND_ZERO,
					     KIND_TEXT, KIND_ZERO, KIND_RECORDS, KIND_ZERO, KIND_TEXT };
	uint64_t mixed = (number + 1) * 0x9e3779b97f4a7c15;
	return KINDS[(mixed >> 33) % 10];
}

static void make_vocabulary(void)
{
	uint64_t state = 88172645463325252;
	for (int i = 0; i < VOCABULARY; i++) {
		uint64_t bits = next_random(&state);
		int length = 2 + (int)(bits % 6);
		for (int j = 0; j < 8; j++, bits >>= 5)
			vocabulary[i][j] = j < length ? (char)('a' + (bits >> 8) % 26) : ' ';
	}
}

static void fill_random(uint64_t *words, uint64_t count, uint64_t state)
{
	for (uint64_t i = 0; i < count; i++)
		words[i] = next_random(&state);
}

static void fill_text(uint64_t *words, uint64_t count, uint64_t state)
{
	for (uint64_t i = 0; i < count; i++) {
		uint64_t bits = next_random(&state);
		/* Common words come often, as in any text. */
		uint64_t word = (bits % VOCABULARY) >> ((bits >> 20) % 6);
		memcpy(&words[i], vocabulary[word], 8);
	}
}

/* Four words each: a pointer, two small numbers, an identifier, nothing. */
static void fill_records(uint64_t *words, uint64_t count, uint64_t state)
{
	for (uint64_t i = 0; i < count; i++) {
		uint64_t bits = next_random(&state);
		switch (i & 3) {
		case 0: words[i] = 0xffff888000000000 | (bits & 0x3ffffff0); break;
		case 1: words[i] = (bits & 0xff) << 32 | (bits >> 40 & 0xfff); break;
		case 2: words[i] = bits & 0xffffffff; break;
		default: words[i] = 0; break;
		}
	}
}

static void fill_content(uint64_t *words, uint64_t count, enum kind kind, uint64_t state)
{
	if (kind == KIND_TEXT)
		fill_text(words, count, state);
	else if (kind == KIND_RANDOM)
		fill_random(words, count, state);
	else
		fill_records(words, count, state);
}

/* Generation 0 is a page that was never written and must be all zero. */
static void write_page(uint64_t number)
{
	struct page *page = &pages[number];
	page->number = number;
	page->generation = ++generations[number];
	fill_content(page->content, PAGE_WORDS - HEADER_WORDS, kind_of(number), next_seed());
	page->checksum = checksum(page);
}

static void rewrite_record(uint64_t number)
{
	struct page *page = &pages[number];
	if (generations[number] == 0) {
		write_page(number);
		return;
	}
	uint64_t records = (PAGE_WORDS - HEADER_WORDS) / RECORD_WORDS;
	uint64_t at = next_random(&random_state) % records * RECORD_WORDS;
	uint64_t *record = &page->content[at];
	uint64_t before = weigh(record, HEADER_WORDS + at, RECORD_WORDS);
	fill_content(record, RECORD_WORDS, kind_of(number), next_seed());
	page->generation = ++generations[number];
	page->checksum += weigh(record, HEADER_WORDS + at, RECORD_WORDS) - before + 0xc4ceb9fe1a85ec53;
}

static int is_zero(const struct page *page)
{
	const uint64_t *words = (const uint64_t *)page;
	uint64_t any = 0;
	for (int i = 0; i < PAGE_WORDS; i++)
		any |= words[i];
	return any == 0;
}

static void check_page(uint64_t number)
{
	const struct page *page = &pages[number];
	checked++;
	if (generations[number] == 0) {
		if (is_zero(page))
			return;
	} else if (page->number == number && page->generation == generations[number] &&
		   page->checksum == checksum(page)) {
		return;
	}
	if (bad++ < MAX_REPORTED)
		say("novacron-demo bad page=%llu number=%llu gen=%llu expected=%u\n", (unsigned long long)number,
		    (unsigned long long)page->number, (unsigned long long)page->generation, generations[number]);
}

static uint64_t parse_size(const char *text)
{
	char *end;
	uint64_t value = strtoull(text, &end, 10);
	switch (*end) {
	case 'G': return value << 30;
	case 'M': return value << 20;
	case 'K': return value << 10;
	default: return value;
	}
}

static const char *parameter(char *command_line, const char *name, const char *otherwise)
{
	static char value[64];
	size_t length = strlen(name);
	for (char *at = strstr(command_line, name); at != NULL; at = strstr(at + 1, name)) {
		if (at[length] != '=' || (at != command_line && at[-1] != ' '))
			continue;
		size_t size = strcspn(at + length + 1, " \n");
		if (size < sizeof value) {
			memcpy(value, at + length + 1, size);
			value[size] = 0;
			return value;
		}
	}
	return otherwise;
}

static struct settings read_settings(void)
{
	char line[4096] = "";
	int file = open("/proc/cmdline", O_RDONLY);
	ssize_t length = read(file, line, sizeof line - 1);
	close(file);
	line[length > 0 ? length : 0] = 0;

	struct settings settings = { .mode = MODE_HOT };
	const char *mode = parameter(line, "demo.mode", "hot");
	if (strcmp(mode, "churn") == 0)
		settings.mode = MODE_CHURN;
	else if (strcmp(mode, "idle") == 0)
		settings.mode = MODE_IDLE;
	settings.rate = parse_size(parameter(line, "demo.rate", "3000"));
	settings.region_pages = parse_size(parameter(line, "demo.region", "128M")) / PAGE_BYTES;
	settings.fill_pages = parse_size(parameter(line, "demo.fill", "64M")) / PAGE_BYTES;
	settings.verify_rate = parse_size(parameter(line, "demo.verify", "25000"));
	settings.disk_blocks = parse_size(parameter(line, "demo.disk", "0")) / BLOCK_BYTES;
	settings.has_network = strcmp(parameter(line, "demo.network", ""), "dhcp") == 0;
	settings.noise = parse_size(parameter(line, "demo.noise", "0"));
	return settings;
}

/* Says every line that has been typed since. */
static void answer_typing(void)
{
	static char line[100];
	static size_t length;
	char typed;
	while (keyboard >= 0 && read(keyboard, &typed, 1) == 1) {
		if (typed == '\r' || typed == '\n') {
			line[length] = 0;
			say("novacron-demo typed %s\n", line);
			length = 0;
		} else if (typed >= ' ' && typed <= '~' && length < sizeof line - 1) {
			line[length++] = typed;
		}
	}
}

static void make_noise(uint64_t bytes)
{
	static char text[80];
	memset(text, '#', sizeof text);
	text[sizeof text - 1] = '\n';
	for (uint64_t written = 0; written < bytes; written += sizeof text)
		if (write(serial, text, sizeof text) < 0)
			return;
}

static void open_serial(void)
{
	keyboard = open("/dev/ttyS0", O_RDONLY | O_NOCTTY | O_NONBLOCK);
	serial = open("/dev/ttyS0", O_WRONLY | O_NOCTTY);
	struct termios raw;
	if (serial < 0 || tcgetattr(serial, &raw) != 0)
		return;
	cfmakeraw(&raw);
	tcsetattr(serial, TCSANOW, &raw);
}

/* What distribution kernels have as modules. One that is not there is built in. */
static void load_module(const char *name)
{
	char path[64];
	snprintf(path, sizeof path, "/modules/%s.ko", name);
	int file = open(path, O_RDONLY);
	if (file < 0)
		return;
	if (syscall(SYS_finit_module, file, "", 0) != 0 && errno != EEXIST)
		say("novacron-demo cannot load %s: %m\n", path);
	close(file);
}

/* Each after those that it needs. */
static void load_virtio_modules(void)
{
	static const char *const MODULES[] = { "virtio_ring", "virtio", "virtio_pci_legacy_dev",
					       "virtio_pci_modern_dev", "virtio_pci" };
	for (size_t i = 0; i < sizeof MODULES / sizeof *MODULES; i++)
		load_module(MODULES[i]);
}

static void fill_some(int64_t until)
{
	while (filled < page_count && now_ns() < until)
		for (int i = 0; i < 16 && filled < page_count; i++, filled++)
			if (kind_of(filled) != KIND_ZERO)
				write_page(filled);
	if (filled == page_count)
		say("novacron-demo ready pages=%llu ms=%lld\n", (unsigned long long)page_count,
		    (long long)(now_ns() / 1000000));
}

static void rewrite_some(const struct settings *settings, uint64_t count)
{
	if (settings->mode == MODE_IDLE || settings->region_pages == 0)
		return;
	for (uint64_t i = 0; i < count; i++, rewrites++) {
		uint64_t number = next_random(&random_state) % settings->region_pages;
		if (settings->mode == MODE_CHURN)
			write_page(number);
		else
			rewrite_record(number);
	}
}

static void verify_some(uint64_t count)
{
	for (uint64_t i = 0; i < count && page_count > 0; i++) {
		check_page(walked);
		if (++walked == page_count) {
			walked = 0;
			say("novacron-demo verify pass=%llu bad=%llu\n", (unsigned long long)++passes,
			    (unsigned long long)bad);
		}
	}
}

static void *reserve(size_t bytes)
{
	void *memory = mmap(NULL, bytes + PAGE_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (memory == MAP_FAILED) {
		say("novacron-demo cannot reserve %zu bytes: %m\n", bytes);
		exit(1); /* the kernel panics, which is what the console should show */
	}
	return memory;
}

static void sleep_until(int64_t at)
{
	struct timespec t = { .tv_sec = at / SECOND_NS, .tv_nsec = at % SECOND_NS };
	clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &t, NULL);
}

/* Past the guest's own cache, so that what is read is what the disk has. */
static int open_disk(void)
{
	for (int64_t end = now_ns() + DISK_PATIENCE_NS; now_ns() < end; sleep_until(now_ns() + TICK_NS)) {
		int disk = open("/dev/vda", O_RDWR | O_DIRECT);
		if (disk >= 0)
			return disk;
	}
	say("novacron-demo cannot open /dev/vda: %m\n");
	exit(1);
}

/* The sum of a block as it is on the disk; one that cannot be read has none that is expected. */
static uint64_t sum_block(int disk, uint64_t *buffer, uint64_t number)
{
	if (pread(disk, buffer, BLOCK_BYTES, (off_t)(number * BLOCK_BYTES)) != BLOCK_BYTES) {
		say("novacron-demo bad block=%llu cannot be read: %m\n", (unsigned long long)number);
		return 0;
	}
	return weigh(buffer, 0, BLOCK_WORDS) | 1;
}

static void write_block(int disk, uint64_t *buffer, uint64_t number, uint64_t *sum)
{
	buffer[0] = number;
	fill_random(buffer + 1, BLOCK_WORDS - 1, next_seed());
	if (pwrite(disk, buffer, BLOCK_BYTES, (off_t)(number * BLOCK_BYTES)) == BLOCK_BYTES)
		*sum = weigh(buffer, 0, BLOCK_WORDS) | 1;
	else
		say("novacron-demo bad block=%llu cannot be written: %m\n", (unsigned long long)number);
}

/* A process of its own, as a disk may keep who waits for it longer than a heartbeat. */
static void work_on_disk(uint64_t blocks)
{
	int disk = open_disk();
	uint64_t *buffer = aligned_alloc(BLOCK_BYTES, BLOCK_BYTES), *sums = calloc(blocks, sizeof *sums);
	if (buffer == NULL || sums == NULL || nice(DISK_NICENESS) == -1) {
		say("novacron-demo cannot work on the disk: %m\n");
		exit(1);
	}
	for (uint64_t i = 0; i < blocks; i++)
		sums[i] = sum_block(disk, buffer, i);
	say("novacron-demo disk ready blocks=%llu\n", (unsigned long long)blocks);
	uint64_t at = 0, wrong = 0, writes = 0, pass = 0;
	for (;; sleep_until(now_ns() + DISK_TICK_NS)) {
		uint64_t number = next_random(&random_state) % (blocks / 2);
		write_block(disk, buffer, number, &sums[number]);
		writes++;
		for (int i = 0; i < CHECKS_PER_DISK_TICK; i++) {
			if (sum_block(disk, buffer, at) != sums[at] && wrong++ < MAX_REPORTED)
				say("novacron-demo bad block=%llu is not what was written\n", (unsigned long long)at);
			if (++at < blocks)
				continue;
			at = 0;
			say("novacron-demo disk pass=%llu bad=%llu writes=%llu\n", (unsigned long long)++pass,
			    (unsigned long long)wrong, (unsigned long long)writes);
		}
	}
}

static void start_on_disk(uint64_t blocks)
{
	if (blocks < 2)
		return;
	load_virtio_modules();
	load_module("virtio_blk");
	if (fork() == 0)
		work_on_disk(blocks);
}

/* A process of its own, as nobody knows when there is a server. */
static void start_on_network(void)
{
	load_virtio_modules();
	load_module("failover");
	load_module("net_failover");
	load_module("virtio_net");
	if (fork() == 0) {
		join_network(say);
		exit(0);
	}
}

int main(void)
{
	mkdir("/proc", 0755);
	mkdir("/dev", 0755);
	mount("proc", "/proc", "proc", 0, NULL);
	mount("devtmpfs", "/dev", "devtmpfs", 0, NULL);
	open_serial();
	load_module("button");
	load_module("evdev");
	open_buttons();

	struct settings settings = read_settings();
	make_vocabulary();
	start_on_disk(settings.disk_blocks);
	if (settings.has_network)
		start_on_network();
	page_count = settings.region_pages + settings.fill_pages;
	pages = reserve(page_count * sizeof *pages);
	/* Which pages are touched must not depend on whether the kernel found huge ones. */
	madvise(pages, page_count * sizeof *pages, MADV_NOHUGEPAGE);
	generations = reserve(page_count * sizeof *generations);

	int64_t due = now_ns();
	for (;;) {
		say("novacron-demo count=%llu ms=%lld gen=%llu checked=%llu bad=%llu\n", (unsigned long long)++heartbeats,
		    (long long)(now_ns() / 1000000), (unsigned long long)rewrites, (unsigned long long)checked,
		    (unsigned long long)bad);
		answer_typing();
		make_noise(settings.noise / 100);
		if (power_button_pressed()) {
			say("novacron-demo power-off count=%llu\n", (unsigned long long)heartbeats);
			tcdrain(serial);
			sync();
			reboot(RB_POWER_OFF);
		}
		if (filled < page_count) {
			fill_some(due + FILL_NS_PER_TICK);
		} else {
			rewrite_some(&settings, settings.rate / 100);
			verify_some(settings.verify_rate / 100);
		}
		due += TICK_NS;
		int64_t now = now_ns();
		/* A guest that was held up goes on from now; it does not make up for what it missed. */
		if (now > due)
			due = now;
		else
			sleep_until(due);
	}
}
