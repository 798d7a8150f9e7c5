/** Put here by the build. */
declare const BUILD_ID: string | undefined;

/** Of the source that this program was built from; undefined where it runs as source. */
export const buildId: string | undefined = typeof BUILD_ID === 'undefined' ? undefined : BUILD_ID;
