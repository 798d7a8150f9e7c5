/** Enough for any request; answers may be larger (a list of VMs with long annotations). */
export const MAX_REQUEST_BYTES = 4 * 1024 ** 2;

/** More than 1,000 VMs with long annotations. Clients take no more than this either. */
export const MAX_RESPONSE_BYTES = 64 * 1024 ** 2;

/** Of answers that wait for one connection to take them: the largest, or many of the usual ones. */
export const MAX_UNREAD_BYTES = 64 * 1024 ** 2;
