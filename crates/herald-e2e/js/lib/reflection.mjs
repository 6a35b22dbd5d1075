// gRPC server reflection, version 1, as far as it takes to call a service that nothing is known of.

import { credentials, loadPackageDefinition } from '@grpc/grpc-js';
import { fromJSON } from '@grpc/proto-loader';

const field = (type, id, rule) => ({ type, id, ...(rule && { rule }) });
const definition = fromJSON({
  nested: {
    grpc: {
      nested: {
        reflection: {
          nested: {
            v1: {
              nested: {
                ServerReflection: {
                  methods: {
                    ServerReflectionInfo: {
                      requestType: 'Request',
                      requestStream: true,
                      responseType: 'Response',
                      responseStream: true,
                    },
                  },
                },
                Request: { fields: { fileByFilename: field('string', 3), fileContainingSymbol: field('string', 4) } },
                Response: { fields: { files: field('Files', 4), error: field('Failure', 7) } },
                Files: { fields: { descriptors: field('bytes', 1, 'repeated') } },
                Failure: { fields: { code: field('int32', 1), message: field('string', 2) } },
              },
            },
          },
        },
      },
    },
  },
});

/** An encoded FileDescriptorSet with all that `symbol` needs. */
export async function reflect(address, symbol) {
  const { ServerReflection } = loadPackageDefinition(definition).grpc.reflection.v1;
  const client = new ServerReflection(address, credentials.createInsecure());
  const stream = client.ServerReflectionInfo({ deadline: Date.now() + 10_000 });
  const answers = stream[Symbol.asyncIterator]();
  const ask = async (request) => {
    stream.write(request);
    const { value } = await answers.next();
    if (value.error) throw new Error(`reflection: ${value.error.message}`);
    return value.files.descriptors;
  };

  // A server may answer with the one file, or with its imports too: what is still missing is asked
  // for by name.
  const files = new Map();
  const add = (descriptors) => descriptors.forEach((bytes) => files.set(strings(bytes, 1)[0], bytes));
  add(await ask({ fileContainingSymbol: symbol }));
  for (const bytes of files.values()) {
    for (const name of strings(bytes, 3)) {
      if (!files.has(name)) add(await ask({ fileByFilename: name }));
    }
  }
  stream.end();
  client.close();

  // repeated FileDescriptorProto file = 1
  return Buffer.concat([...files.values()].flatMap((bytes) => [Buffer.from([0x0a]), varint(bytes.length), bytes]));
}

/** The strings of one field of a FileDescriptorProto: 1 is its name, 3 are its imports. */
function strings(bytes, wanted) {
  const found = [];
  let at = 0;
  const number = () => {
    let value = 0;
    for (let shift = 0; ; shift += 7) {
      const byte = bytes[at++];
      value += (byte & 0x7f) * 2 ** shift;
      if (byte < 0x80) return value;
    }
  };
  while (at < bytes.length) {
    const tag = number();
    if ((tag & 7) !== 2) {
      number();
      continue;
    }
    const length = number();
    if (tag >> 3 === wanted) found.push(bytes.subarray(at, at + length).toString());
    at += length;
  }
  return found;
}

function varint(value) {
  const out = [];
  for (; value > 0x7f; value = Math.floor(value / 128)) out.push((value & 0x7f) | 0x80);
  out.push(value);
  return Buffer.from(out);
}
