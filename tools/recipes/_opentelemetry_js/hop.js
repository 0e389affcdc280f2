// A reverse proxy of Node's http module, traced by OpenTelemetry's SDK: PORT_HTTP is where it listens, NEXT_HOP whom it asks.
"use strict";

const { NodeTracerProvider, BatchSpanProcessor } = require("@opentelemetry/sdk-trace-node");
const { OTLPTraceExporter } = require("@opentelemetry/exporter-trace-otlp-grpc");
const { CompositePropagator, W3CBaggagePropagator, W3CTraceContextPropagator } = require("@opentelemetry/core");
const { registerInstrumentations } = require("@opentelemetry/instrumentation");
const { HttpInstrumentation } = require("@opentelemetry/instrumentation-http");
const { resourceFromAttributes } = require("@opentelemetry/resources");

const provider = new NodeTracerProvider({
  resource: resourceFromAttributes({ "service.name": process.env.OTEL_SERVICE_NAME }),
  spanProcessors: [new BatchSpanProcessor(new OTLPTraceExporter(), { scheduledDelayMillis: 50 })],
});
const propagators = [new W3CTraceContextPropagator(), new W3CBaggagePropagator()];
provider.register({ propagator: new CompositePropagator({ propagators }) });
registerInstrumentations({ tracerProvider: provider, instrumentations: [new HttpInstrumentation()] });

const http = require("http");

const server = http.createServer((request, response) => {
  // None of the caller's headers is passed on: what arrives was injected.
  http.get(process.env.NEXT_HOP, (answer) => {
    response.writeHead(answer.statusCode);
    answer.pipe(response);
  }).on("error", (error) => response.writeHead(502).end(String(error)));
});
server.listen(Number(process.env.PORT_HTTP), "127.0.0.1");
