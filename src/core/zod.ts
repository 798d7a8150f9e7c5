import { config } from 'zod';

/*
 * Zod, set up for programs that are started often. By itself it writes a function for each schema, which V8 then has to compile: more work than
 * all that is parsed until a program is ready. Schemas ask when they are made, so whoever makes one imports this instead.
 */

config({ jitless: true });

export * from 'zod';
