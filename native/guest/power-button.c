#include "power-button.h"

#include <dirent.h>
#include <fcntl.h>
#include <linux/input.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { MAX_BUTTONS = 8 };

static int buttons[MAX_BUTTONS], button_count;

void open_buttons(void)
{
	DIR *folder = opendir("/dev/input");
	if (folder == NULL)
		return;
	for (struct dirent *entry; (entry = readdir(folder)) != NULL && button_count < MAX_BUTTONS;) {
		char path[300];
		if (strncmp(entry->d_name, "event", 5) != 0)
			continue;
		snprintf(path, sizeof path, "/dev/input/%s", entry->d_name);
		int file = open(path, O_RDONLY | O_NONBLOCK);
		if (file >= 0)
			buttons[button_count++] = file;
	}
	closedir(folder);
}

int power_button_pressed(void)
{
	struct input_event event;
	for (int i = 0; i < button_count; i++)
		while (read(buttons[i], &event, sizeof event) == sizeof event)
			if (event.type == EV_KEY && event.code == KEY_POWER && event.value == 1)
				return 1;
	return 0;
}
