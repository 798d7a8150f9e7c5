import { z } from 'zod';

/*
 * Has schemas walked through whenever something is parsed. By itself zod writes a function for each, which V8 then has to compile: more
 * work than all that is parsed until a program is ready. To be imported before any schema is made, as they ask then.
 */

z.config({ jitless: true });
