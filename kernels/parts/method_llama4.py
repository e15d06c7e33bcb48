ROUTING = {"n_group": None, "topk_group": None, "routing_method_type": RoutingMethodType.Llama4}
