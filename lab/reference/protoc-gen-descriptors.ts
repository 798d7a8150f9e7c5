import { readFileSync, writeFileSync } from 'node:fs';
import { clearField, create, fromBinary, toBinary } from '@bufbuild/protobuf';
import {
  CodeGeneratorRequestSchema,
  CodeGeneratorResponse_Feature,
  CodeGeneratorResponseSchema,
  type DescriptorProto,
  type EnumDescriptorProto,
  type FileDescriptorProto,
  FileDescriptorProtoSchema,
} from '@bufbuild/protobuf/wkt';

/*
 * A plugin of protoc that writes the files it is given as descriptors, for reflection. What proto-loader makes of them at
 * run time has relative names and no imports, which grpcurl refuses.
 */
const { protoFile } = fromBinary(CodeGeneratorRequestSchema, readFileSync(0));
const entries = protoFile.map((file) => {
  // Comments and places in the text would make it three times as long.
  clearField(file, FileDescriptorProtoSchema.field.sourceCodeInfo);
  const bytes = toBinary(FileDescriptorProtoSchema, file);
  return `  {
    name: '${file.name}',
    imports: ${JSON.stringify(file.dependency)},
    services: ${JSON.stringify(file.service.map(({ name }) => qualified(file.package, name)))},
    symbols: '${symbolsOf(file).join(' ')}',
    bytes: '${Buffer.from(bytes).toString('base64')}',
  },
`;
});
const content = `// Made from proto/ by npm run generate.

/** A file of the API, or one that they import. */
export interface DescribedFile {
  readonly name: string;
  readonly imports: readonly string[];
  /** Full names. */
  readonly services: readonly string[];
  /** Full names of all that is declared in it, with a blank between them. */
  readonly symbols: string;
  /** A google.protobuf.FileDescriptorProto, in base64. */
  readonly bytes: string;
}

export const DESCRIBED_FILES: readonly DescribedFile[] = [
${entries.join('')}];
`;
const response = create(CodeGeneratorResponseSchema, {
  supportedFeatures: BigInt(CodeGeneratorResponse_Feature.PROTO3_OPTIONAL),
  file: [{ name: 'file-descriptors.ts', content }],
});
writeFileSync(1, toBinary(CodeGeneratorResponseSchema, response));

function symbolsOf(file: FileDescriptorProto): readonly string[] {
  return [
    ...file.messageType.flatMap((message) => symbolsOfMessage(file.package, message)),
    ...file.enumType.flatMap((one) => symbolsOfEnum(file.package, one)),
    ...file.service.flatMap(({ name, method }) => [
      qualified(file.package, name),
      ...method.map((one) => qualified(file.package, name, one.name)),
    ]),
  ];
}

function symbolsOfMessage(scope: string, message: DescriptorProto): readonly string[] {
  const name = qualified(scope, message.name);
  return [
    name,
    ...message.field.map((field) => qualified(name, field.name)),
    ...message.oneofDecl.map((oneof) => qualified(name, oneof.name)),
    ...message.nestedType.flatMap((nested) => symbolsOfMessage(name, nested)),
    ...message.enumType.flatMap((one) => symbolsOfEnum(name, one)),
  ];
}

/** An enum's values are beside it, and not in it. */
function symbolsOfEnum(scope: string, { name, value }: EnumDescriptorProto): readonly string[] {
  return [qualified(scope, name), ...value.map((one) => qualified(scope, one.name))];
}

function qualified(...names: readonly string[]): string {
  return names.filter((name) => name !== '').join('.');
}
