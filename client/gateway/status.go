package gateway

import (
	"net/http"
	"time"

	"github.com/warren-rpc/warren"
)

// StatusClientClosedRequest is logged where the caller has gone before its reply.
const StatusClientClosedRequest = 499

// Reasons of the gateway's own, of requests that it refused: nothing was called.
const (
	ReasonUnknownPath      = "unknown_path"       // not_found, 404: no route has the path
	ReasonMethodNotAllowed = "method_not_allowed" // unimplemented, 405: the path has other methods
	ReasonUnauthenticated  = "unauthenticated"    // unauthenticated, 401: Config.Authenticate refused the caller
	ReasonBadParameter     = "bad_parameter"      // invalid_argument, 400: a parameter of the path or the query
	ReasonBadHeader        = "bad_header"         // invalid_argument, 400: a header that is to be passed on
	ReasonBadKey           = "bad_key"            // invalid_argument, 400: the Idempotency-Key, or it is missing
	ReasonBadTimeout       = "bad_timeout"        // invalid_argument, 400: the Request-Timeout
	ReasonBodyIncomplete   = "body_incomplete"    // invalid_argument, 400: the body is not as its headers say
	ReasonBodyTimeout      = "body_timeout"       // deadline_exceeded, 408: the body did not arrive in time
	ReasonRouteLimit       = "route_limit"        // resource_exhausted, 429: the route's concurrency or rate
	ReasonGatewayLimit     = "gateway_limit"      // unavailable, 503: the gateway's concurrency, or the bytes of all bodies
)

// kind is how a code, or a reason, is told to HTTP callers: by a status, and by a text
// unless the error's own is for them.
type kind struct {
	status int
	text   string
}

// byCode is the table of Connect, but for canceled: there it is the caller's own doing.
var byCode = map[warren.Code]kind{
	warren.CodeCanceled:           {http.StatusConflict, "the call was canceled, and not by this caller"},
	warren.CodeUnknown:            {http.StatusInternalServerError, "the server failed"},
	warren.CodeInvalidArgument:    {http.StatusBadRequest, "the request is not valid"},
	warren.CodeDeadlineExceeded:   {http.StatusGatewayTimeout, "there was no reply in time"},
	warren.CodeNotFound:           {http.StatusNotFound, "there is no such thing"},
	warren.CodeAlreadyExists:      {http.StatusConflict, "it exists already"},
	warren.CodePermissionDenied:   {http.StatusForbidden, "the caller may not do this"},
	warren.CodeResourceExhausted:  {http.StatusTooManyRequests, "a limit is reached"},
	warren.CodeFailedPrecondition: {http.StatusBadRequest, "the state of things does not allow it"},
	warren.CodeAborted:            {http.StatusConflict, "the call was given up; it may be begun again"},
	warren.CodeOutOfRange:         {http.StatusBadRequest, "it is past the end of what there is"},
	warren.CodeUnimplemented:      {http.StatusNotImplemented, "this is not served"},
	warren.CodeInternal:           {http.StatusInternalServerError, "the server failed"},
	warren.CodeUnavailable:        {http.StatusServiceUnavailable, "the service cannot be reached now"},
	warren.CodeDataLoss:           {http.StatusInternalServerError, "data is lost or damaged"},
	warren.CodeUnauthenticated:    {http.StatusUnauthorized, "the caller is not known"},
}

// reasonOf is what a reason is under one code. Under others, which are an
// application's, the code decides; so it does for deadline_exceeded, where reasons say
// why nothing better is known.
type reasonOf struct {
	code warren.Code
	kind
}

// byReason has every reason of Warren's own.
var byReason = map[string]reasonOf{
	warren.ReasonNoRoute:           {warren.CodeUnavailable, kind{http.StatusServiceUnavailable, "nobody serves this now"}},
	warren.ReasonNoServer:          {warren.CodeUnavailable, kind{http.StatusServiceUnavailable, "nobody serves this now"}},
	warren.ReasonNotConnected:      {warren.CodeUnavailable, kind{http.StatusServiceUnavailable, "the service cannot be reached now"}},
	warren.ReasonBlocked:           {warren.CodeUnavailable, kind{http.StatusServiceUnavailable, "the service takes no requests now"}},
	warren.ReasonNacked:            {warren.CodeUnavailable, kind{http.StatusServiceUnavailable, "the request may not have arrived"}},
	warren.ReasonConnectionLost:    {warren.CodeUnavailable, kind{http.StatusServiceUnavailable, "the request may not have arrived"}},
	warren.ReasonReplyQueueLost:    {warren.CodeUnavailable, kind{http.StatusServiceUnavailable, "the reply was lost"}},
	warren.ReasonClientClosed:      {warren.CodeCanceled, kind{http.StatusServiceUnavailable, "the gateway is stopping"}},
	warren.ReasonQueueFull:         {warren.CodeResourceExhausted, kind{http.StatusServiceUnavailable, "too many calls are under way"}},
	warren.ReasonOverloaded:        {warren.CodeResourceExhausted, kind{http.StatusServiceUnavailable, "the service is overloaded"}},
	warren.ReasonRequestTooLarge:   {warren.CodeResourceExhausted, kind{http.StatusRequestEntityTooLarge, "the body is too large"}},
	warren.ReasonReplyTooLarge:     {warren.CodeResourceExhausted, kind{http.StatusBadGateway, "the reply is too large"}},
	warren.ReasonBadRequest:        {warren.CodeInvalidArgument, kind{http.StatusBadRequest, "the request breaks a bound: its parameters and headers are too many or too long"}},
	warren.ReasonBadReply:          {warren.CodeInternal, kind{http.StatusBadGateway, "the reply cannot be understood"}},
	warren.ReasonMalformedBody:     {warren.CodeInvalidArgument, kind{http.StatusBadRequest, "the body cannot be decoded"}},
	warren.ReasonUnsupportedMedia:  {warren.CodeInvalidArgument, kind{http.StatusUnsupportedMediaType, "the content type or encoding is not supported"}},
	warren.ReasonInvalid:           {warren.CodeInvalidArgument, kind{http.StatusBadRequest, "the request is not valid"}},
	warren.ReasonMissingIdentifier: {warren.CodeUnauthenticated, kind{http.StatusInternalServerError, "the gateway may not call this"}},
	warren.ReasonKeyReused:         {warren.CodeAlreadyExists, kind{http.StatusConflict, "the idempotency key belongs to another request"}},
	warren.ReasonExpired:           {warren.CodeDeadlineExceeded, kind{http.StatusGatewayTimeout, "there was no reply in time"}},
	warren.ReasonPanic:             {warren.CodeInternal, kind{http.StatusInternalServerError, "the server failed"}},
	warren.ReasonBreakerOpen:       {warren.CodeUnavailable, kind{http.StatusServiceUnavailable, "the service has failed too often of late"}},
	warren.ReasonBudgetExhausted:   {warren.CodeUnavailable, kind{http.StatusServiceUnavailable, "the service has failed too often of late"}},
	warren.ReasonPoisoned:          {warren.CodeInternal, kind{http.StatusInternalServerError, "the call was begun too often and never ended"}},
	warren.ReasonTooOld:            {warren.CodeAborted, kind{http.StatusConflict, "the call was made longer ago than the server remembers; it was not begun now, and may have been before"}},
	warren.ReasonInterrupted:       {warren.CodeAborted, kind{http.StatusConflict, "the call was begun, and its end is not known; it will not be begun again"}},
	warren.ReasonStoreUnavailable:  {warren.CodeUnavailable, kind{http.StatusServiceUnavailable, "the service cannot remember calls now"}},
	warren.ReasonStoreFull:         {warren.CodeResourceExhausted, kind{http.StatusServiceUnavailable, "the service cannot remember more calls now"}},
	warren.ReasonReplyNotRetained:  {warren.CodeDataLoss, kind{http.StatusInternalServerError, "the call was executed; its reply was too large to keep"}},
	warren.ReasonNotPermitted:      {warren.CodePermissionDenied, kind{http.StatusInternalServerError, "the gateway may not call this"}},
	warren.ReasonNotProven:         {warren.CodePermissionDenied, kind{http.StatusInternalServerError, "the gateway may not call this"}},
}

// forCallers are the codes by which a handler speaks to its caller: their messages and
// details are told. Under the others they may say what only operators may know.
var forCallers = map[warren.Code]bool{
	warren.CodeInvalidArgument: true, warren.CodeNotFound: true, warren.CodeAlreadyExists: true, warren.CodePermissionDenied: true,
	warren.CodeResourceExhausted: true, warren.CodeFailedPrecondition: true, warren.CodeAborted: true, warren.CodeOutOfRange: true,
	warren.CodeUnimplemented: true, warren.CodeUnauthenticated: true,
}

// kindOf returns how an error is told, and whether its own words are.
func kindOf(e *warren.Error) (k kind, own bool) {
	k = byCode[e.Code]
	if k.status == 0 {
		k = byCode[warren.CodeUnknown]
	}
	own = e.Remote && forCallers[e.Code] && e.Message != ""
	if row, ok := byReason[e.Reason]; ok && row.code == e.Code {
		k = row.kind
		own = own && k.status < http.StatusInternalServerError
	}
	return k, own
}

// advice returns what Retry-After says, rounded up to whole seconds; 0: nothing. An
// error without advice of its own is worth another request soon only if it was
// certainly not executed and the service was not there for it.
func advice(e *warren.Error, status int) int {
	switch {
	case e.RetryAfter < 0:
		return 0
	case e.RetryAfter > 0:
		return seconds(e.RetryAfter)
	case status == http.StatusServiceUnavailable && e.Outcome == warren.NotExecuted:
		return 1
	default:
		return 0
	}
}

func seconds(d time.Duration) int { return int((d + time.Second - 1) / time.Second) }
