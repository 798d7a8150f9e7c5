/** Of all resources, as manifests have it. */
export const API_VERSION = 'novacron.io/v1alpha1';
