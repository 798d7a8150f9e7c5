#pragma once

/* A detached thread that takes no signals. 0, or an error number. */
int start_thread(void *(*run)(void *), void *argument);
