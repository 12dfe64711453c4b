# Three stages: the media worker and the pages are built with everything at hand; the image that runs has
# Node 24 and two of Debian's libraries, and runs as an ordinary user.

FROM node:24-bookworm AS build
# What building the media worker takes; its recipe fetches libsrtp2's source from Debian by itself.
RUN apt-get update \
 && apt-get install -y --no-install-recommends \
      cmake dpkg-dev flatbuffers-compiler g++ libflatbuffers-dev libssl-dev libuv1-dev ninja-build \
 && rm -rf /var/lib/apt/lists/*
WORKDIR /app
COPY package.json package-lock.json .npmrc ./
# `dummy` keeps the media engine from fetching or building its worker in this step.
RUN MEDIASOUP_WORKER_BIN=dummy npm ci
# First what the worker is made of, so that a change elsewhere does not build it again.
COPY scripts/media-worker scripts/media-worker
RUN node scripts/media-worker/ensure.ts > /tmp/worker-path \
 && install -D -m 0755 "$(cat /tmp/worker-path)" /app/bin/mediasoup-worker
COPY . .
RUN node scripts/build-client.ts \
 && MEDIASOUP_WORKER_BIN=dummy npm prune --omit=dev

FROM node:24-bookworm-slim
RUN apt-get update \
 && apt-get install -y --no-install-recommends ca-certificates libssl3 libuv1 \
 && rm -rf /var/lib/apt/lists/* \
 && install -d -o node -g node -m 0700 /data /signer
WORKDIR /app
COPY --from=build /app/package.json ./
COPY --from=build /app/bin bin
COPY --from=build /app/node_modules node_modules
COPY --from=build /app/config config
COPY --from=build /app/core core
COPY --from=build /app/recorder-worker recorder-worker
COPY --from=build /app/scripts scripts
COPY --from=build /app/client/dist client/dist
ENV NODE_ENV=production \
    MEDIASOUP_WORKER_BIN=/app/bin/mediasoup-worker \
    VERBATIM_DATA_DIR=/data \
    VERBATIM_LEDGER_SIGNER_DIR=/signer \
    VERBATIM_LISTEN_HOST=0.0.0.0
USER node
# Apart from the data: what an older /data that is put back is noticed by.
VOLUME /data /signer
EXPOSE 4443/tcp
HEALTHCHECK --interval=10s --timeout=3s --start-period=30s --retries=3 \
  CMD ["node", "-e", "fetch('http://127.0.0.1:' + (process.env.VERBATIM_LISTEN_PORT || 4443) + '/v1/health/ready').then((answer) => process.exit(answer.ok ? 0 : 1), () => process.exit(1))"]
CMD ["node", "core/main.ts"]
