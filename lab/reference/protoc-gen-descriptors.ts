import { readFileSync, writeFileSync } from 'node:fs';
import { clearField, create, fromBinary, toBinary } from '@bufbuild/protobuf';
import {
  CodeGeneratorRequestSchema,
  CodeGeneratorResponse_Feature,
  CodeGeneratorResponseSchema,
  FileDescriptorProtoSchema,
} from '@bufbuild/protobuf/wkt';

/*
 * A plugin of protoc that writes the files it is given as descriptors, for reflection. What proto-loader makes of them at
 * run time has relative names and no imports, which grpcurl refuses.
 */
const { protoFile } = fromBinary(CodeGeneratorRequestSchema, readFileSync(0));
const lines = protoFile.map((file) => {
  // Comments and places in the text would make it three times as long.
  clearField(file, FileDescriptorProtoSchema.field.sourceCodeInfo);
  const bytes = toBinary(FileDescriptorProtoSchema, file);
  return `  // ${file.name}\n  '${Buffer.from(bytes).toString('base64')}',\n`;
});
const content = `// Made from proto/ by npm run generate.

/** The files of the API and what they import, as google.protobuf.FileDescriptorProto in base64. */
export const FILE_DESCRIPTORS: readonly string[] = [
${lines.join('')}];
`;
const response = create(CodeGeneratorResponseSchema, {
  supportedFeatures: BigInt(CodeGeneratorResponse_Feature.PROTO3_OPTIONAL),
  file: [{ name: 'file-descriptors.ts', content }],
});
writeFileSync(1, toBinary(CodeGeneratorResponseSchema, response));
