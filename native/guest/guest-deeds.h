/* What a guest does by itself: eject, set-clock, link-down, cpu-off, reboot or power-off. Returns the status to exit with. */
int do_deed(const char *deed);
