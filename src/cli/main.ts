#!/usr/bin/env node
import { startProgram } from '../core/start-program.ts';

startProgram({
  name: 'novactl',
  url: import.meta.url,
  module: 'novactl',
  prepare: () => undefined,
});
