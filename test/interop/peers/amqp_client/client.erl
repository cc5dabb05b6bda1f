%% A recipe client: makes one call and prints the reply as one JSON object, its body in base64.
-module(client).

-include_lib("amqp_client/include/amqp_client.hrl").

-export([main/1]).

main(Arguments) ->
    #{"url" := URL, "queue" := Queue, "body-file" := File, "correlation-id" := Given} = Options =
        recipe:options(Arguments),
    ID = list_to_binary(Given),
    {ok, Body} = file:read_file(File),
    {Connection, Channel} = recipe:open_channel(URL),
    Replies = replies(Channel, Options),
    #'basic.consume_ok'{} =
        amqp_channel:subscribe(Channel, #'basic.consume'{queue = Replies, no_ack = true}, self()),
    Request = #amqp_msg{props = #'P_basic'{correlation_id = ID, reply_to = Replies}, payload = Body},
    ok = amqp_channel:call(Channel, #'basic.publish'{routing_key = list_to_binary(Queue)}, Request),
    show(answered(ID)),
    ok = amqp_connection:close(Connection).

replies(_Channel, #{"direct-reply-to" := true}) ->
    <<"amq.rabbitmq.reply-to">>;
replies(Channel, _Options) ->
    #'queue.declare_ok'{queue = Own} = amqp_channel:call(Channel, #'queue.declare'{exclusive = true}),
    Own.

%% Waits for the reply that bears the call's correlation ID.
answered(ID) ->
    receive
        {#'basic.deliver'{}, #amqp_msg{props = #'P_basic'{correlation_id = ID}} = Reply} ->
            Reply;
        {#'basic.deliver'{}, #amqp_msg{props = #'P_basic'{correlation_id = Other}}} ->
            io:format(standard_error, "foreign reply: ~p~n", [Other]),
            answered(ID)
    end.

show(#amqp_msg{props = Properties, payload = Body}) ->
    recipe:print(#{
        type => recipe:text(Properties#'P_basic'.type),
        content_type => recipe:text(Properties#'P_basic'.content_type),
        correlation_id => Properties#'P_basic'.correlation_id,
        headers => recipe:headers(Properties),
        body => base64:encode(Body)
    }).
