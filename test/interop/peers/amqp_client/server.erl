%% A recipe server.
%%
%% It reports what happens as one JSON object per line: ready, request (with the request's
%% properties), replied, acked. A body that is not a number ends it in the modes fib and email.
-module(server).

-include_lib("amqp_client/include/amqp_client.hrl").

-export([main/1]).

-define(ADDRESSES, #{
    1 => <<"ada@example.org">>, 2 => <<"blaise@example.org">>, 3 => <<"charles@example.org">>,
    4 => <<"donald@example.org">>, 5 => <<"edsger@example.org">>
}).

main(Arguments) ->
    #{"url" := URL, "queue" := Given, "queue-type" := Type} = Options = recipe:options(Arguments),
    Queue = list_to_binary(Given),
    {_Connection, Channel} = recipe:open_channel(URL),
    Declare = #'queue.declare'{queue = Queue, durable = Type =/= "transient", arguments = arguments(Type)},
    #'queue.declare_ok'{} = amqp_channel:call(Channel, Declare),
    #'basic.qos_ok'{} = amqp_channel:call(Channel, #'basic.qos'{prefetch_count = 1}),
    #'basic.consume_ok'{} = amqp_channel:subscribe(Channel, #'basic.consume'{queue = Queue}, self()),
    recipe:print(#{event => ready}),
    loop(Channel, Options).

arguments("quorum") -> [{<<"x-queue-type">>, longstr, <<"quorum">>}];
arguments(_Type) -> [].

loop(Channel, Options) ->
    receive
        {#'basic.deliver'{} = Delivery, #amqp_msg{} = Request} ->
            serve(Channel, Options, Delivery, Request),
            loop(Channel, Options);
        #'basic.consume_ok'{} ->
            loop(Channel, Options)
    end.

serve(Channel, Options, Delivery, #amqp_msg{props = Properties, payload = Body}) ->
    #'P_basic'{correlation_id = ID, reply_to = ReplyTo} = Properties,
    recipe:print(#{
        event => request,
        correlation_id => recipe:text(ID),
        reply_to => recipe:text(ReplyTo),
        type => recipe:text(Properties#'P_basic'.type),
        content_type => recipe:text(Properties#'P_basic'.content_type),
        expiration => recipe:text(Properties#'P_basic'.expiration),
        delivery_mode => recipe:text(Properties#'P_basic'.delivery_mode),
        headers => recipe:headers(Properties),
        redelivered => Delivery#'basic.deliver'.redelivered,
        size => byte_size(Body)
    }),
    #{"mode" := Mode, "replies" := Replies} = Options,
    Answer = #amqp_msg{props = #'P_basic'{correlation_id = ID}, payload = result(Mode, Body)},
    stop_at("before-reply", Options),
    [ok = amqp_channel:call(Channel, #'basic.publish'{routing_key = ReplyTo}, Answer)
     || _ <- lists:seq(1, list_to_integer(Replies))],
    recipe:print(#{event => replied, correlation_id => ID}),
    stop_at("before-ack", Options),
    ok = amqp_channel:cast(Channel, #'basic.ack'{delivery_tag = Delivery#'basic.deliver'.delivery_tag}),
    recipe:print(#{event => acked, correlation_id => ID}).

%% With --hold, stops at that point with the first request, until killed.
stop_at(Point, #{"hold" := Point}) -> receive never -> ok end;
stop_at(_Point, _Options) -> ok.

result("echo", Body) -> Body;
result("fib", Body) -> integer_to_binary(fib(binary_to_integer(Body)));
result("email", Body) -> maps:get(binary_to_integer(Body), ?ADDRESSES, <<>>).

fib(N) -> fib(N, 0, 1).

fib(0, A, _B) -> A;
fib(N, A, B) -> fib(N - 1, B, A + B).
