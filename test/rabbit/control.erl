%% Evaluated inside the broker's own Erlang VM when the node boots. It serves a
%% Unix socket in the node's folder: each frame (4 bytes of length, then text)
%% is a sequence of Erlang expressions, and its answer is one frame of "+" and
%% the last expression's value, or "-" and what went wrong.
Evaluate = fun(Text) ->
    {ok, Tokens, _} = erl_scan:string(unicode:characters_to_list(Text)),
    {ok, Expressions} = erl_parse:parse_exprs(Tokens),
    {value, Value, _} = erl_eval:exprs(Expressions, erl_eval:new_bindings()),
    try iolist_to_binary(Value)
    catch error:badarg -> io_lib:format("~0tp", [Value])
    end
end.

Answer = fun(Text) ->
    try [$+, Evaluate(Text)]
    catch Class:Reason -> [$-, unicode:characters_to_binary(
                                 io_lib:format("~0tp: ~0tp", [Class, Reason]))]
    end
end.

Serve = fun Serve(Socket) ->
    case gen_tcp:recv(Socket, 0) of
        {ok, Text} -> ok = gen_tcp:send(Socket, Answer(Text)), Serve(Socket);
        {error, closed} -> gen_tcp:close(Socket)
    end
end.

Accept = fun Accept(Listener) ->
    {ok, Socket} = gen_tcp:accept(Listener),
    Server = spawn(fun() -> receive go -> Serve(Socket) end end),
    ok = gen_tcp:controlling_process(Socket, Server),
    Server ! go,
    Accept(Listener)
end.

%% The process that evaluates this file ends with it and would take the
%% listener along, so the process that accepts also listens.
spawn(fun() ->
    {ok, Listener} = gen_tcp:listen(0, [binary, {packet, 4}, {active, false},
                                        {backlog, 128},
                                        {ifaddr, {local, "control"}}]),
    Accept(Listener)
end).
