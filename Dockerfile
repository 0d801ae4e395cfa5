# syntax=docker/dockerfile:1
# Tarn in a small image that runs as nobody in particular. The binary is all that is in it beside certificates.

FROM node:20-bookworm-slim AS page
WORKDIR /src/dashboard
COPY dashboard/package.json dashboard/package-lock.json dashboard/.npmrc ./
RUN npm ci --silent
COPY openapi/edge.json openapi/cloud.json ../openapi/
COPY dashboard ./
RUN npm run --silent build

FROM rust:1.95-slim-bookworm AS build
RUN apt-get update \
    && apt-get install -y --no-install-recommends gcc g++ libc6-dev make cmake pkg-config \
    && rm -rf /var/lib/apt/lists/*
WORKDIR /src
COPY . .
COPY --from=page /src/dashboard/dist dashboard/dist
# What was compiled before is kept between builds.
RUN --mount=type=cache,target=/src/target \
    --mount=type=cache,target=/usr/local/cargo/registry \
    cargo build --locked --release --package tarn --bin tarn \
    && install -D target/release/tarn /out/tarn \
    && install -d -o 10001 -g 10001 /out/data

FROM debian:bookworm-slim
RUN apt-get update \
    && apt-get install -y --no-install-recommends ca-certificates \
    && rm -rf /var/lib/apt/lists/*
COPY --from=build /out/tarn /usr/local/bin/tarn
# A volume that is mounted here for the first time takes over who owns it.
COPY --from=build --chown=10001:10001 /out/data /data
USER 10001:10001
VOLUME /data
# A box: MQTT and HTTP. The cloud: HTTP and MQTT. A store: S3.
EXPOSE 1883 8080 8090 1893 9000
# SIGTERM stops it in order: what was published is cut and shipped.
STOPSIGNAL SIGTERM
ENTRYPOINT ["tarn"]
CMD ["--help"]
