declare <8 x double> @tj_tail_splat(ptr) nounwind
declare void @tj_tail_in(ptr, ptr, ptr, i64, i64, i64) nounwind
declare void @tj_tail_out(ptr, ptr, ptr, i64, i64, i64) nounwind
@axpb_f64_2 = private constant <8 x double> splat (double 0x4004000000000000), align 64
@axpb_tail = private constant [2 x [4 x i64]] [[4 x i64] [i64 0, i64 8, i64 1, i64 4607182418800017408], [4 x i64] [i64 4, i64 8, i64 2, i64 4607182418800017408]], align 64
define void @axpb(ptr %args, ptr %meta, i64 %begin, i64 %end) nounwind alignstack(64) {
entry:
%state = alloca [7 x i64], align 64
%pads = alloca [2 x [128 x i8]], align 64
%n0m = getelementptr i64, ptr %meta, i64 0
%n0 = load i64, ptr %n0m
%arg0m = getelementptr ptr, ptr %args, i64 0
%arg0 = load ptr, ptr %arg0m
%arg1m = getelementptr ptr, ptr %args, i64 1
%arg1 = load ptr, ptr %arg1m
%arg2m = getelementptr ptr, ptr %args, i64 2
%arg2 = load ptr, ptr %arg2m
br label %units
units:
%u = phi i64 [ %begin, %entry ], [ %u_next, %unit_end ]
%u_more = icmp slt i64 %u, %end
br i1 %u_more, label %unit, label %exit
unit:
%x0 = mul i64 %u, 4096
%behind = sub i64 %n0, %x0
%is_last = icmp slt i64 %behind, 4096
%count = select i1 %is_last, i64 %behind, i64 4096
%b0_0 = getelementptr double, ptr %arg0, i64 %x0
%at0 = getelementptr i64, ptr %state, i64 0
store ptr %b0_0, ptr %at0
%at1 = getelementptr i64, ptr %state, i64 2
store ptr %arg1, ptr %at1
%b2_0 = getelementptr double, ptr %arg2, i64 %x0
%at2 = getelementptr i64, ptr %state, i64 4
store ptr %b2_0, ptr %at2
%v1ba = getelementptr i64, ptr %state, i64 2
%v1b = load ptr, ptr %v1ba
%v1 = call <8 x double> @tj_tail_splat(ptr %v1b)
%full = and i64 %count, -8
%wide_end = and i64 %count, -32
%has_wide = icmp ne i64 %wide_end, 0
br i1 %has_wide, label %wide, label %narrow
wide:
%i0 = phi i64 [ 0, %unit ], [ %i_wide, %wide ]
%v5ba = getelementptr i64, ptr %state, i64 0
%v5b = load ptr, ptr %v5ba
%v5p = getelementptr double, ptr %v5b, i64 %i0
%v5 = load <8 x double>, ptr %v5p, align 8
%l_f64_2_5 = load <8 x double>, ptr @axpb_f64_2, align 64
%v8 = fmul <8 x double> %v5, %l_f64_2_5
%v9 = fadd <8 x double> %v8, %v1
%i1 = add i64 %i0, 8
%v10ba = getelementptr i64, ptr %state, i64 0
%v10b = load ptr, ptr %v10ba
%v10p = getelementptr double, ptr %v10b, i64 %i1
%v10 = load <8 x double>, ptr %v10p, align 8
%l_f64_2_10 = load <8 x double>, ptr @axpb_f64_2, align 64
%v13 = fmul <8 x double> %v10, %l_f64_2_10
%v14 = fadd <8 x double> %v13, %v1
%i2 = add i64 %i0, 16
%v15ba = getelementptr i64, ptr %state, i64 0
%v15b = load ptr, ptr %v15ba
%v15p = getelementptr double, ptr %v15b, i64 %i2
%v15 = load <8 x double>, ptr %v15p, align 8
%l_f64_2_15 = load <8 x double>, ptr @axpb_f64_2, align 64
%v18 = fmul <8 x double> %v15, %l_f64_2_15
%v19 = fadd <8 x double> %v18, %v1
%i3 = add i64 %i0, 24
%v20ba = getelementptr i64, ptr %state, i64 0
%v20b = load ptr, ptr %v20ba
%v20p = getelementptr double, ptr %v20b, i64 %i3
%v20 = load <8 x double>, ptr %v20p, align 8
%l_f64_2_20 = load <8 x double>, ptr @axpb_f64_2, align 64
%v23 = fmul <8 x double> %v20, %l_f64_2_20
%v24 = fadd <8 x double> %v23, %v1
%o0w0wba = getelementptr i64, ptr %state, i64 4
%o0w0wb = load ptr, ptr %o0w0wba
%o0w0wp = getelementptr double, ptr %o0w0wb, i64 %i0
store <8 x double> %v9, ptr %o0w0wp, align 8
%o0w1wba = getelementptr i64, ptr %state, i64 4
%o0w1wb = load ptr, ptr %o0w1wba
%o0w1wp = getelementptr double, ptr %o0w1wb, i64 %i1
store <8 x double> %v14, ptr %o0w1wp, align 8
%o0w2wba = getelementptr i64, ptr %state, i64 4
%o0w2wb = load ptr, ptr %o0w2wba
%o0w2wp = getelementptr double, ptr %o0w2wb, i64 %i2
store <8 x double> %v19, ptr %o0w2wp, align 8
%o0w3wba = getelementptr i64, ptr %state, i64 4
%o0w3wb = load ptr, ptr %o0w3wba
%o0w3wp = getelementptr double, ptr %o0w3wb, i64 %i3
store <8 x double> %v24, ptr %o0w3wp, align 8
%i_wide = add i64 %i0, 32
%is_wide = icmp slt i64 %i_wide, %wide_end
br i1 %is_wide, label %wide, label %narrow
narrow:
%has_narrow = icmp slt i64 %wide_end, %full
br i1 %has_narrow, label %loop, label %rest
loop:
%i = phi i64 [ %wide_end, %narrow ], [ %j, %loop ], [ %full, %tail ]
%v0ba = getelementptr i64, ptr %state, i64 0
%v0b = load ptr, ptr %v0ba
%v0p = getelementptr double, ptr %v0b, i64 %i
%v0 = load <8 x double>, ptr %v0p, align 8
%l_f64_2_0 = load <8 x double>, ptr @axpb_f64_2, align 64
%v3 = fmul <8 x double> %v0, %l_f64_2_0
%v4 = fadd <8 x double> %v3, %v1
%o0wba = getelementptr i64, ptr %state, i64 4
%o0wb = load ptr, ptr %o0wba
%o0wp = getelementptr double, ptr %o0wb, i64 %i
store <8 x double> %v4, ptr %o0wp, align 8
%j = add i64 %i, 8
%more = icmp slt i64 %j, %full
br i1 %more, label %loop, label %rest
rest:
%done = phi i64 [ %wide_end, %narrow ], [ %j, %loop ]
%left = sub i64 %count, %done
%is_partly = icmp sgt i64 %left, 0
br i1 %is_partly, label %tail, label %whole
tail:
call void @tj_tail_in(ptr %state, ptr %pads, ptr @axpb_tail, i64 2, i64 %full, i64 %left)
br label %loop
whole:
%is_padded = icmp slt i64 %left, 0
br i1 %is_padded, label %unpad, label %unit_end
unpad:
%r = sub i64 %count, %full
call void @tj_tail_out(ptr %state, ptr %pads, ptr @axpb_tail, i64 2, i64 %full, i64 %r)
br label %unit_end
unit_end:
%u_next = add i64 %u, 1
br label %units
exit:
ret void
}
