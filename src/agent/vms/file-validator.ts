import type { FieldViolation, Reason } from '../../core/errors.ts';
import type { Machine } from '../../core/resources/machine.ts';
import { formatOf, isReadOnly, type Volume } from '../../core/resources/volume.ts';
import type { FileOwner, HypervisorHost } from '../../drivers/hypervisor-host.ts';
import type {
  FileKind,
  ImageHolder,
  ImageInfo,
  ImageInspector,
  ImageProblem,
} from '../../drivers/images.ts';

export interface FileValidatorOptions {
  readonly host: Pick<HypervisorHost, 'getInfo'>;
  readonly images: ImageInspector;
  /** What users call a VM of this node, such as `default/web`; undefined if it is none. */
  readonly nameOf: (vmUid: string) => string | undefined;
}

/** A violation and the reason that it alone would fail with. */
export interface SpecViolation extends FieldViolation {
  readonly reason: Reason;
}

/** Whose files they are to be. */
export interface Asker {
  /** What this VM itself has open is not in its way. Undefined for one that is not there yet. */
  readonly vmUid: string | undefined;
  /** It comes from another node, which has the same images open until it is here: who cannot be seen may be that one. */
  readonly isArriving: boolean;
}

export const MACHINE = 'spec.template.spec';

/** Looks at the files of a VM, as they are on this node now. */
export class FileValidator {
  readonly #options: FileValidatorOptions;

  constructor(options: FileValidatorOptions) {
    this.#options = options;
  }

  /** Everything that keeps a VM from using its files here, by field. */
  async findViolations(
    { volumes = [], kernel }: Machine,
    asker: Asker,
    signal: AbortSignal,
  ): Promise<SpecViolation[]> {
    if (volumes.length === 0 && kernel === undefined) return [];
    const { processOwner: user } = await this.#options.host.getInfo(signal);
    const boot = (['path', 'initrd'] as const).flatMap((name) => {
      const [path, field] = [kernel?.[name], `${MACHINE}.kernel.${name}`];
      return path === undefined ? [] : [this.#checkBootFile({ path, field, user }, signal)];
    });
    const looks = await Promise.all(
      volumes.map((volume, index) =>
        this.#look({ volume, field: `${MACHINE}.volumes[${index}]`, user }, signal),
      ),
    );
    const found = looks.filter((look) => look !== undefined);
    return [
      ...found.flatMap(({ violation }) => violation ?? []),
      ...sameFiles(found),
      ...found.flatMap((look) => this.#inUse(look, asker) ?? []),
      ...(await Promise.all(boot)).filter((violation) => violation !== undefined),
    ];
  }

  async #look(
    { volume, field, user }: { readonly volume: Volume } & Asked,
    signal: AbortSignal,
  ): Promise<Look | undefined> {
    const { file, block } = volume.source ?? {};
    const place = file ?? block;
    if (place === undefined) return undefined;
    const { path } = place;
    const pathField = `${field}.source.${file === undefined ? 'block' : 'file'}.path`;
    const kind = file === undefined ? 'block-device' : 'file';
    const format = formatOf(volume);
    const query = { path, kind, format, isReadOnly: isReadOnly(volume), user } as const;
    const image = await this.#options.images.find(query, signal);
    const asked = { field, pathField, path, format, kind } as const;
    return { ...asked, image, violation: violationOf(asked, image) };
  }

  #inUse({ image, pathField: field, path }: Look, asker: Asker): SpecViolation | undefined {
    const inTheWay = (image?.holders ?? []).filter(
      ({ pid, vmUid }) =>
        (vmUid === undefined || vmUid !== asker.vmUid) && (pid !== undefined || !asker.isArriving),
    );
    if (inTheWay.length === 0) return undefined;
    const who = inTheWay.map((holder) => this.#nameOf(holder)).join(' and ');
    const isVm = inTheWay.every(({ vmUid }) => vmUid !== undefined);
    const end = isVm ? 'shut that down' : 'end that (see fuser -v on the node)';
    const description = `is ${path}, which ${who} has open; ${end}, or use another image`;
    return { field, description, reason: 'IMAGE_IN_USE' };
  }

  #nameOf({ pid, program, vmUid, vmName }: ImageHolder): string {
    if (pid === undefined) return 'somebody';
    const name = vmUid && this.#options.nameOf(vmUid);
    if (name !== undefined && name !== '') return `VM ${name}`;
    return vmName === '' ? `${program} (pid ${pid})` : `the domain ${vmName} (pid ${pid})`;
  }

  async #checkBootFile(
    { path, field, user }: { readonly path: string } & Asked,
    signal: AbortSignal,
  ): Promise<SpecViolation | undefined> {
    const found = await this.#options.images.findBootFile(path, user, signal);
    if (found === undefined) return missing(field, path);
    return found.problem && unusable(field, path, found.problem);
  }
}

/** The field that a file is asked about for, and whom QEMU runs as. */
interface Asked {
  readonly field: string;
  readonly user: FileOwner | undefined;
}

interface AskedVolume {
  readonly field: string;
  readonly pathField: string;
  readonly path: string;
  readonly format: string;
  readonly kind: 'file' | 'block-device';
}

interface Look extends AskedVolume {
  readonly image: ImageInfo | undefined;
  readonly violation: SpecViolation | undefined;
}

function violationOf(asked: AskedVolume, image: ImageInfo | undefined): SpecViolation | undefined {
  const { field, pathField, path, format } = asked;
  if (image === undefined) return missing(pathField, path);
  if (image.problem !== undefined) return unusable(pathField, path, image.problem);
  const kind = kindProblem(image.kind, asked.kind);
  if (kind !== undefined) {
    return { field: pathField, description: `is ${path}, which ${kind}`, reason: 'IMAGE_INVALID' };
  }
  if (image.format === format) return undefined;
  const description = `is ${format}, but ${path} is ${image.format}; correct the format or convert it with: qemu-img convert -O ${format}`;
  return { field: `${field}.format`, description, reason: 'IMAGE_INVALID' };
}

/** Links that lead to one image: by its path alone a manifest does not show it. */
function sameFiles(looks: readonly Look[]): readonly SpecViolation[] {
  return looks.flatMap(({ image, pathField: field, path }, index) => {
    const id = image?.fileId;
    const first = looks.slice(0, index).find((other) => other.image?.fileId === id);
    if (id === undefined || first === undefined) return [];
    const description = `is ${path}, which leads to the same image as ${first.pathField}; each volume needs its own`;
    return [{ field, description, reason: 'INVALID_SPEC' }];
  });
}

function unusable(field: string, path: string, { reason, text }: ImageProblem): SpecViolation {
  return { field, description: `is ${path}, which cannot be used: ${text}`, reason };
}

function kindProblem(found: FileKind, wanted: 'file' | 'block-device'): string | undefined {
  if (found === wanted) return undefined;
  return wanted === 'file'
    ? 'is a block device; name it as source.block'
    : 'is no block device; name it as source.file';
}

function missing(field: string, path: string): SpecViolation {
  const description = `is ${path}, which does not exist on this node; put the file there or correct the path`;
  return { field, description, reason: 'IMAGE_NOT_FOUND' };
}
