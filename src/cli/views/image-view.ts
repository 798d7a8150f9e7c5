import type { Image, PullImageResponse } from '../../client/api.ts';
import { timestampMs } from '../../client/time.ts';
import { API_VERSION } from '../../core/resources/api-version.ts';
import { timestampText, withoutEmpty } from '../output/documents.ts';
import { formatAge } from '../output/durations.ts';
import { formatBytes } from '../output/quantities.ts';
import type { ResourceView } from '../output/resource-view.ts';

/** So many digits tell all images of a node apart. */
const SHORT_DIGEST = 'sha256:'.length + 12;

export function imageView(nowMs: number): ResourceView<Image> {
  return {
    columns: [
      { header: 'DIGEST', value: ({ digest }) => digest.slice(0, SHORT_DIGEST) },
      { header: 'FORMAT', value: ({ format }) => format },
      { header: 'SIZE', value: ({ virtualBytes }) => formatBytes(virtualBytes) },
      { header: 'ON DISK', value: ({ diskBytes }) => formatBytes(diskBytes) },
      { header: 'DISKS', value: ({ usedBy }) => String(usedBy.length) },
      {
        header: 'USED',
        value: ({ lastUsedTime: at }) =>
          at === undefined ? '' : `${formatAge(nowMs - timestampMs(at))} ago`,
      },
      { header: 'SOURCE', value: ({ origins }) => origins.map(({ source }) => source).join(' ') },
    ],
    document: (image) =>
      withoutEmpty({
        apiVersion: API_VERSION,
        kind: 'Image',
        digest: image.digest,
        path: image.path,
        format: image.format,
        virtualBytes: Number(image.virtualBytes),
        contentBytes: Number(image.contentBytes),
        diskBytes: Number(image.diskBytes),
        origins: image.origins.map(({ source, fetchedTime, checkedTime }) =>
          withoutEmpty({
            source,
            fetchedTime: timestampText(fetchedTime),
            checkedTime: timestampText(checkedTime),
          }),
        ),
        lastUsedTime: timestampText(image.lastUsedTime),
        usedBy: image.usedBy,
      }),
    name: ({ digest }) => digest,
  };
}

/** `Fetching, 45%, 158Mi/350Mi`; without what nobody knows. */
export function pullText(source: string, { step, bytes, totalBytes }: PullImageResponse): string {
  const word = { waiting: 'Waiting for other images', checking: 'Checking' }[step] ?? 'Fetching';
  if (step !== 'fetching') return `${word}  ${source}`;
  if (totalBytes === undefined || totalBytes === 0n)
    return `${word}, ${formatBytes(bytes)}  ${source}`;
  const percent = Number((bytes * 100n) / totalBytes);
  return `${word}, ${percent}%, ${formatBytes(bytes)}/${formatBytes(totalBytes)}  ${source}`;
}
