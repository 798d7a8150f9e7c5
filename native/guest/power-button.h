/* The power button of a guest's machine, for init programs whose modules "button" and "evdev" are loaded. */
#ifndef POWER_BUTTON_H
#define POWER_BUTTON_H

void open_buttons(void);

/* Whether it was pressed since this was asked last; does not wait. */
int power_button_pressed(void);

#endif
