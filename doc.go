// Package warren is the vocabulary that both sides of a Warren call share:
// codes and outcomes, the one error type, requests and replies, headers,
// codecs, interceptors and the settings of a broker.
//
// Warren makes remote procedure calls over RabbitMQ that stay correct while
// things break: a caller gets an answer or a typed error before its deadline,
// and every error says whether the handler can have run.
//
// Package client calls, package server serves. This package imports the
// standard library only, so that a service can speak of Warren's errors
// without depending on a broker.
package warren
