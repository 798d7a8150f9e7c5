import { readFileSync, writeFileSync } from 'node:fs';
import { inProject } from '../core/project.ts';
import { withGeneratedSection } from './generated-section.ts';
import { renderReference, renderSupport } from './render-reference.ts';

writeFileSync(inProject('docs/reference/virtual-machine.md'), renderReference());
const api = inProject('docs/api.md');
writeFileSync(api, withGeneratedSection(readFileSync(api, 'utf8'), renderSupport()));
