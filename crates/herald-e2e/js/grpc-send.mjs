// Calls the notifier over gRPC with what a Node developer has: @grpc/grpc-js.
//
// { address, protos, service, method, request }: with `protos`, a directory, from the files; without,
// from the server's reflection. The service is Herald's unless another one is named.
// says: response {response} or error {code, message}

import { credentials, loadPackageDefinition } from '@grpc/grpc-js';
import { loadFileDescriptorSetFromBuffer, load } from '@grpc/proto-loader';
import { config, obey, say } from './lib/lines.mjs';
import { reflect } from './lib/reflection.mjs';

const service = config.service ?? 'herald.v1.NoticeService';
const OPTIONS = { keepCase: false, longs: String, enums: String, bytes: String, defaults: true, oneofs: true };

const definition = config.protos
  ? await load('herald/v1/notice_service.proto', { ...OPTIONS, includeDirs: [config.protos] })
  : loadFileDescriptorSetFromBuffer(await reflect(config.address, service), OPTIONS);
const loaded = loadPackageDefinition(definition);
const Client = service.split('.').reduce((part, name) => part[name], loaded);
const client = new Client(config.address, credentials.createInsecure());

// As a program would have it: protobuf's `bytes` are buffers.
const request = { ...config.request };
if (typeof request.json === 'string') request.json = Buffer.from(request.json);

obey({}, () => client.close());
client[config.method](request, { deadline: Date.now() + 10_000 }, (error, response) => {
  if (error) say('error', { code: error.code, message: error.details });
  else say('response', { response });
});
