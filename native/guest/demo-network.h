/* See demo-network.c. */
#ifndef DEMO_NETWORK_H
#define DEMO_NETWORK_H

typedef void say_function(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Gives the first network interface the address that a DHCP server has for it, and says so; tries until there is one. */
void join_network(say_function *say);

#endif
