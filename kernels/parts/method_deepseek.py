ROUTING = {"n_group": @{n_group}, "topk_group": @{topk_group}, "routing_method_type": RoutingMethodType.DeepSeekV3}
