// The same from CommonJS.

import client = require('@herald/client');

const herald: client.Herald = client.connect('https://notices.example.com/notice', { storage: 'local' });
herald.on('notice', (payload, meta) => [payload, meta.id]);
herald.close();
