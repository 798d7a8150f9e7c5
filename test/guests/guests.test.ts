import { testGuest } from './whole-guest.ts';

// The release that this machine has.
testGuest(undefined);
