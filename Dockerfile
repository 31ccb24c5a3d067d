# `relay serve` in a container: on its embedded store in the volume /data, or with `--aws` on SQS, DynamoDB and S3.
#
#   docker build -t event-relay .
#   docker run -p 8080:8080 -v relay-data:/data event-relay

FROM rust:1.95-slim-bookworm AS build
RUN apt-get update && apt-get install --yes --no-install-recommends gcc libc6-dev make && rm -rf /var/lib/apt/lists/*
WORKDIR /src
COPY . .
RUN cargo build --release --locked --package relay-cli && strip target/release/relay && mkdir /data

# glibc, the public certificate authorities, and nothing else: no shell.
FROM gcr.io/distroless/cc-debian12:nonroot
COPY --from=build /src/target/release/relay /usr/local/bin/relay
COPY --from=build --chown=nonroot:nonroot /data /data
ENV RELAY_LISTEN=0.0.0.0:8080 RELAY_DATA=/data RELAY_LOG_FORMAT=json
VOLUME /data
EXPOSE 8080
USER nonroot
ENTRYPOINT ["/usr/local/bin/relay"]
CMD ["serve"]
