#!/usr/bin/env -S node --min-semi-space-size=16
import { startProgram } from '../core/start-program.ts';

startProgram({
  name: 'novactl',
  url: import.meta.url,
  module: 'novactl',
  prepare: () => undefined,
});
