#!/usr/bin/env node
import { startProgram } from '../core/start-program.ts';

startProgram('novactl', import.meta.url, 'novactl');
